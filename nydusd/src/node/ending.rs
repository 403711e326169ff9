//! How mounts end: by themselves, with the process, or before they came back.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::Node;
use crate::lock::lock;
use crate::mounts;
use crate::records::Record;

impl Node {
    /// Forgets what was unmounted; how many mounts are left.
    pub fn sweep(&self) -> usize {
        let mut served = lock(&self.served);
        served.retain(|at, served| {
            let stays = served.mounted.is_served();
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
        leaving.retain(|served| served.mounted.is_served());
        served.len().saturating_add(leaving.len())
    }

    /// Unmounts everything; what is in use goes when its last user does. What is to outlive the process
    /// stays on record.
    pub fn take_all_away(&self) {
        self.sweep();
        self.ending.store(true, Ordering::SeqCst);
        for (at, served) in lock(&self.served).iter() {
            // What somebody has unmounted already is only still in use.
            let listed = mounts::at(at).is_ok_and(|there| there.is_some_and(|m| m.is_ours()));
            match &served.record {
                _ if !listed => {
                    self.records.remove(at);
                }
                Some(record) if record.lasting => {
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
            if let Err(error) = mounts::take_away(at, true) {
                tracing::warn!(%error, at = %at.display(), "it cannot be unmounted");
            }
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
