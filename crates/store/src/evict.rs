//! Making room: whole tasks go, least recently used first, never what is in use.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use content::TaskId;

use crate::error::{PutError, StoreError};
use crate::lock::{lock, read, write};
use crate::shared::Account;
use crate::space::LEAST_SPARE;
use crate::store::{Inner, Store};
use crate::task::Task;

/// What an eviction took away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evicted {
    /// How many tasks.
    pub tasks: u64,
    /// How many bytes of them.
    pub bytes: u64,
}

/// What a collection did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// What was evicted.
    pub evicted: Evicted,
    /// How many grants had ended.
    pub grants: u64,
}

/// What came of asking for a task to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// It is gone.
    Removed {
        /// How many bytes of it were stored.
        bytes: u64,
    },
    /// Somebody reads, streams or serves it.
    InUse,
    /// The operator wants it kept.
    Pinned,
    /// There is no such task.
    Unknown,
}

/// A crowded store is not searched again before so many more bytes came.
const SEARCH_EVERY: u64 = 64 << 20;

impl Store {
    /// Evicts down to the low watermark if the store is above the high one, and as much as is
    /// needed to keep the file system's reserve free.
    pub fn evict(&self) -> Evicted {
        self.inner.evict_to_watermarks()
    }

    /// Evicts until all tasks hold at most `bytes` together, or only tasks in use are left.
    pub fn evict_to(&self, bytes: u64) -> Evicted {
        let shared = &self.inner.shared;
        self.inner.evict_while(|_| shared.quota.total() > bytes)
    }

    /// Removes a task unless somebody uses it or the operator pinned it.
    ///
    /// # Errors
    /// If the disk refuses; see [`Self::remove`].
    pub fn remove_unused(&self, id: &TaskId) -> Result<Removal, StoreError> {
        let _changing = lock(&self.inner.changing);
        let task = match self.inner.take_removable(id) {
            Ok(task) => task,
            Err(why_not) => return Ok(why_not),
        };
        let bytes = task.held();
        task.retire().map(|()| Removal::Removed { bytes })
    }

    /// What is to be done now and then: ended grants go (`now` in Unix seconds), tasks are evicted
    /// where the watermarks want it, tasks that hold nothing and were not used for a day go too,
    /// files that nobody uses are closed, and an index that the disk refused is made anew.
    pub fn gc(&self, now: u64) -> Collected {
        let index = &self.inner.shared.index;
        let grants = index.sweep_grants(now).unwrap_or_else(|error| {
            tracing::warn!(%error, "ended grants could not be removed");
            0
        });
        let evicted = self.evict();
        self.inner.remove_empty(now.saturating_sub(EMPTY_FOR) * 1000);
        let tasks: Vec<_> = read(&self.inner.tasks).values().cloned().collect();
        for task in tasks {
            task.release_if_idle();
        }
        // A full disk may have met the index alone, between two pieces.
        if self.writable() && index.flush().is_err() {
            self.inner.renew_index();
        }
        Collected { evicted, grants }
    }
}

/// A task that holds nothing is kept for so many seconds.
const EMPTY_FOR: u64 = 24 * 60 * 60;

impl Inner {
    /// Removes tasks without a byte that were last used before `tick`. One whose length is 0 holds
    /// all that it can.
    fn remove_empty(&self, tick: u64) {
        let empty: Vec<_> = read(&self.tasks)
            .values()
            .filter(|task| task.held() == 0 && task.layout().length() > 0)
            .filter(|task| task.last_use() < tick)
            .map(|task| task.account)
            .collect();
        for account in empty {
            self.evict_one(&account);
        }
    }

    /// Makes sure that `bytes` more may be written.
    pub(crate) fn make_room(&self, bytes: u64) -> Result<(), PutError> {
        let (quota, limits) = (&self.shared.quota, self.shared.limits);
        let total = quota.total();
        if total > limits.high && total >= self.search_above.load(Ordering::Relaxed) {
            self.evict_to_watermarks();
            let left = quota.total();
            let next = if left > limits.high { left + SEARCH_EVERY } else { 0 };
            self.search_above.store(next, Ordering::Relaxed);
        }
        if quota.total() + bytes > limits.quota {
            // The last attempt before a piece is refused is worth a search each time.
            self.evict_bytes(bytes);
            if quota.total() + bytes > limits.quota {
                return Err(PutError::OverQuota { quota: limits.quota });
            }
        }
        let space = &self.shared.space;
        if !space.take(bytes) {
            self.evict_to_watermarks();
            if !space.take(bytes) {
                return Err(space.reserve_reached());
            }
        }
        Ok(())
    }

    pub(crate) fn evict_to_watermarks(&self) -> Evicted {
        let shared = &self.shared;
        let mut evicted = Evicted::default();
        if shared.quota.is_over() {
            evicted = self.evict_while(|_| shared.quota.total() > shared.quota.low());
        }
        if shared.space.spare() < LEAST_SPARE {
            let wanted = (shared.limits.quota / 20).clamp(LEAST_SPARE, SEARCH_EVERY);
            let more = self.evict_while(|_| shared.space.spare() < wanted);
            evicted.tasks += more.tasks;
            evicted.bytes += more.bytes;
        }
        evicted
    }

    /// Evicts until at least `bytes` were freed.
    pub(crate) fn evict_bytes(&self, bytes: u64) -> Evicted {
        self.evict_while(|evicted| evicted.bytes < bytes)
    }

    fn evict_while(&self, more: impl Fn(&Evicted) -> bool) -> Evicted {
        let _one_at_a_time = lock(&self.evicting);
        let mut evicted = Evicted::default();
        for (account, bytes) in self.shared.quota.by_age() {
            if !more(&evicted) {
                break;
            }
            if bytes > 0 && self.evict_one(&account) {
                evicted.tasks += 1;
                evicted.bytes += bytes;
            }
        }
        let counters = &self.shared.counters;
        counters.evicted_tasks.fetch_add(evicted.tasks, Ordering::Relaxed);
        counters.evicted_bytes.fetch_add(evicted.bytes, Ordering::Relaxed);
        if evicted.tasks > 0 {
            tracing::info!(tasks = evicted.tasks, bytes = evicted.bytes, "evicted");
        }
        evicted
    }

    fn evict_one(&self, account: &Account) -> bool {
        let _changing = lock(&self.changing);
        let Some(task) = self.take_if_unused(account) else {
            return false;
        };
        match task.retire() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(task = %task.id(), %error, "an evicted task left something behind until the next start");
                false
            }
        }
    }

    fn take_removable(&self, id: &TaskId) -> Result<Arc<Task>, Removal> {
        let account = {
            let tasks = read(&self.tasks);
            let task = tasks.get(id).ok_or(Removal::Unknown)?;
            if task.is_pinned() {
                return Err(Removal::Pinned);
            }
            task.account
        };
        self.take_if_unused(&account).ok_or(Removal::InUse)
    }

    /// Takes a task out of the store if nobody uses it: the store's own handle is the only one,
    /// and nobody can get another while the table is locked.
    fn take_if_unused(&self, account: &Account) -> Option<Arc<Task>> {
        let mut tasks = write(&self.tasks);
        let task = tasks.get(&account.id)?;
        let unused = task.account == *account
            && Arc::strong_count(task) == 1
            && !self.shared.quota.is_pinned(account);
        if unused { tasks.remove(&account.id) } else { None }
    }
}
