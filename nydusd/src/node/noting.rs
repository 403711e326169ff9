//! When a mount's record is written: so that a kill at any moment loses no mount, and makes none that
//! nobody has.

use anyhow::{Context, bail, ensure};

use super::Node;
use crate::records::Record;

/// Why a mount does not come back.
const GIVEN_UP: &str = "it was unmounted meanwhile";

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
    /// If a new mount cannot be recorded, or one that was to be brought back was given up meanwhile.
    pub(super) fn note_begin(&self, noted: &Noted) -> anyhow::Result<()> {
        let wanted = || noted.before.is_none() || self.pending.of(&noted.record.at).is_some();
        ensure!(wanted(), GIVEN_UP);
        self.note_what_comes(noted)?;
        if !wanted() {
            self.records.remove(&noted.record.at);
            bail!(GIVEN_UP);
        }
        Ok(())
    }

    fn note_what_comes(&self, noted: &Noted) -> anyhow::Result<()> {
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
            // Nobody has ordered it, or who had has given it up.
            (_, None) => {
                self.records.remove(at);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// In the place of one that does too: a full disk is no reason to do without the mount.
    fn put_again(&self, record: &Record) {
        if let Err(error) = self.records.put(record) {
            tracing::warn!(%error, at = %record.at.display(), "the record of a mount stays as it was");
        }
    }
}
