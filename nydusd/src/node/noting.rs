//! When a mount's record is written: so that a kill at any moment loses no mount, and makes none that
//! nobody has.

use anyhow::Context;

use super::Node;
use crate::records::Record;

/// A mount's record, and that of an earlier process whose mount it follows.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) record: Record,
    pub(super) before: Option<Record>,
}

impl Node {
    /// Before what is dead is taken away, and the kernel is asked.
    ///
    /// # Errors
    /// If a new mount cannot be recorded.
    pub(super) fn note_begin(&self, noted: &Noted) -> anyhow::Result<()> {
        match &noted.before {
            None => self.records.put(&noted.record).context("the mount cannot be recorded"),
            // From here on the kernel may list nothing there, and nobody has unmounted it.
            Some(before) if before.mounted && before.boot == self.records.boot() => {
                let returning = Record { returning: true, ..before.clone() };
                self.put_again(&returning);
                self.pending.replace(returning);
                Ok(())
            }
            // It is to be mounted whatever the kernel lists, until it is.
            Some(_) => Ok(()),
        }
    }

    /// The kernel has it.
    pub(super) fn note_end(&self, noted: &Noted) {
        if noted.before.is_some() {
            self.put_again(&noted.record);
        }
    }

    /// It is not mounted. What another process had stays to be brought back.
    pub(super) fn note_failure(&self, noted: &Noted) {
        let at = &noted.record.at;
        match (&noted.before, self.pending.of(at)) {
            (None, Some(pending)) => self.put_again(&pending),
            (None, None) => {
                self.records.remove(at);
            }
            (Some(_), _) => {}
        }
    }

    /// In the place of one that does too: a full disk is no reason to do without the mount.
    fn put_again(&self, record: &Record) {
        if let Err(error) = self.records.put(record) {
            tracing::warn!(%error, at = %record.at.display(), "the record of a mount stays as it was");
        }
    }
}
