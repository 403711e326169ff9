//! How mounts end: by themselves, with the process, or before they came back.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Node, Served};
use crate::lock::lock;
use crate::mounts::{self, Listing};
use crate::records::Record;

impl Node {
    /// Forgets what was unmounted; how many mounts are left.
    pub fn sweep(&self) -> usize {
        let listing = Listing::default();
        let mut served = lock(&self.served);
        served.retain(|at, served| {
            let stays = served.mounted.is_served(&listing);
            if !stays {
                tracing::info!(at = %at.display(), "unmounted");
                if served.record.is_some() && !self.is_ending() {
                    self.records.remove(at);
                }
            }
            stays
        });
        if self.grants.are_due() {
            served.values().for_each(|served| served.lazy.renew_rights());
        }
        let mut leaving = lock(&self.leaving);
        leaving.retain(|served| served.mounted.is_served(&listing));
        served.len().saturating_add(leaving.len())
    }

    /// Unmounts everything; what is in use goes when its last user does. What is to outlive the process
    /// stays on record. Does it once; what is mounted from then on goes as it comes.
    pub fn take_all_away(&self) {
        self.sweep();
        let served = lock(&self.served);
        if self.ending.swap(true, Ordering::SeqCst) {
            return;
        }
        for (at, served) in served.iter() {
            self.take_one_away(at, served);
        }
    }

    pub(super) fn take_one_away(&self, at: &Path, served: &Served) {
        // What somebody has unmounted already is only still in use.
        let listed = served.mounted.is_listed(&Listing::default());
        match &served.record {
            Some(record) if listed && record.lasting => {
                let record = Record { mounted: false, ..record.clone() };
                if let Err(error) = self.records.put(&record) {
                    tracing::warn!(%error, at = %at.display(), "it will not be brought back");
                }
            }
            Some(_) => {
                self.records.remove(at);
            }
            None => {}
        }
        if listed && let Err(error) = mounts::take_away(at, true) {
            tracing::warn!(%error, at = %at.display(), "it cannot be unmounted");
        }
    }

    /// Gives up bringing back what was at `at`, a path from [`mounts::resolve`]; whether something
    /// was.
    pub fn forget(&self, at: &Path) -> bool {
        let pending = self.pending.done(at);
        if pending {
            self.records.remove(at);
        }
        pending
    }
}
