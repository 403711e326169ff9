//! Who waits for a task's pieces is told that some came or went; so is the account.

use tokio::sync::watch;

use super::Task;
use crate::lock::lock;

impl Task {
    /// Counts up whenever pieces come, go or change their standing: after each put, completion,
    /// drop and statement. A waiter marks the value as seen (`borrow_and_update`), looks at
    /// [`Self::local`] or [`Self::present`], and awaits `changed`, which fails when the task is
    /// removed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        match &*lock(&self.changes) {
            Some(sender) => sender.subscribe(),
            None => watch::channel(0).1, // closed: the task was removed
        }
    }

    /// Tells whoever watches: also for what its user holds beside it, and they wait for.
    pub fn changed(&self) {
        if let Some(sender) = &*lock(&self.changes) {
            sender.send_modify(|version| *version += 1);
        }
    }

    /// Brings the account up to what the file holds now. Whoever calls last sees all earlier
    /// changes, because the sum is read under the lock.
    pub(crate) fn settle(&self) {
        let changes = lock(&self.changes);
        self.shared.quota.set_bytes(&self.account, self.file.held());
        drop(changes);
    }
}
