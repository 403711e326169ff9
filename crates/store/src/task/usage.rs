//! Who uses a task, and when it was last used: what keeps it from being evicted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sparse::Pin;

use super::Task;
use crate::error::IndexError;
use crate::lock::lock;
use crate::shared::Account;

/// Last use is written to the index at most so often, in milliseconds.
const SAVE_USE_EVERY: u64 = 60_000;

impl Task {
    /// Says that the task is read, streamed or served, until the lease is dropped. It counts as a
    /// use now and when it ends.
    #[must_use]
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.leases.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Lease { pin: self.shared.quota.pin(&self.account), task: Arc::clone(self) }
    }

    /// The task is used now.
    pub(crate) fn touch(&self) {
        let tick = self.shared.clock.tick();
        self.shared.quota.touch(&self.account, tick);
        let saved = self.used_saved.load(Ordering::Relaxed);
        if tick.saturating_sub(saved) >= SAVE_USE_EVERY && self.shared.space.fault().is_none() {
            self.used_saved.store(tick, Ordering::Relaxed);
            self.log_index(self.with_entry(|index| index.set_used(&self.id, tick)));
        }
    }

    pub(crate) fn last_use(&self) -> u64 {
        self.shared.quota.last_use(&self.account).unwrap_or(0)
    }

    /// Closes the descriptors if nobody reads, streams or serves the task.
    pub(crate) fn release_if_idle(&self) {
        if self.leases.load(Ordering::Relaxed) == 0 {
            self.file.release();
        }
    }

    /// Whether the operator wants it kept.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        lock(&self.operator_pin).is_some()
    }

    pub(crate) fn set_pinned(&self, pinned: bool) -> Result<(), IndexError> {
        let pin = pinned.then(|| self.shared.quota.pin(&self.account)).flatten();
        *lock(&self.operator_pin) = pin;
        self.update_facts(|facts| facts.pinned = pinned)?;
        self.shared.index.flush()
    }
}

/// Somebody reads, streams or serves a task: it is not evicted, and its file stays open.
#[derive(Debug)]
pub struct Lease {
    pin: Option<Pin<Account>>,
    task: Arc<Task>,
}

impl Lease {
    /// The task that is in use.
    #[must_use]
    pub const fn task(&self) -> &Arc<Task> {
        &self.task
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.touch();
        self.pin = None;
        if self.task.leases.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.task.file.release();
        }
    }
}
