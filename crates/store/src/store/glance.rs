//! What a store holds, at a glance.

use std::sync::atomic::{AtomicU64, Ordering};

use content::{Layout, PieceSet, TaskId};

use super::Store;
use crate::lock::read;
use crate::space::Fault;
use crate::task::Task;

/// What a store holds and may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreStats {
    /// How many tasks there are.
    pub tasks: u64,
    /// How many bytes of them are stored, provisional ones too.
    pub bytes: u64,
    /// How many of those bytes are in use or pinned.
    pub pinned_bytes: u64,
    /// The most that may be stored.
    pub quota_bytes: u64,
    /// Above this, tasks are evicted …
    pub high_bytes: u64,
    /// … until this is reached.
    pub low_bytes: u64,
    /// Bytes free on the file system beyond the reserve.
    pub spare_bytes: u64,
    /// Why nothing is written now, if so.
    pub fault: Option<Fault>,
    /// Pieces that were no longer what they were, since the start.
    pub corrupt_pieces: u64,
    /// Tasks evicted since the start.
    pub evicted_tasks: u64,
    /// Bytes evicted since the start.
    pub evicted_bytes: u64,
}

/// One task of a store, at a glance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskInfo {
    /// Its name.
    pub id: TaskId,
    /// How it is cut.
    pub layout: Layout,
    /// Its media type; empty where it is not known.
    pub media_type: String,
    /// The pieces that may be claimed.
    pub present: PieceSet,
    /// How many bytes of it are stored, provisional ones too.
    pub held_bytes: u64,
    /// Whether the whole is here and matched its SHA-256.
    pub complete: bool,
    /// Whether the operator wants it kept.
    pub pinned: bool,
    /// When it was last used, in Unix seconds.
    pub last_use_unix: u64,
}

impl Store {
    /// All tasks, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<TaskInfo> {
        let tasks: Vec<_> = read(&self.inner.tasks).values().cloned().collect();
        let mut list: Vec<_> = tasks.iter().map(|task| info(task)).collect();
        list.sort_by_key(|info| info.id);
        list
    }

    /// What the store holds and may hold.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let shared = &self.inner.shared;
        let limits = shared.limits();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            tasks: read(&self.inner.tasks).len() as u64,
            bytes: shared.quota.total(),
            pinned_bytes: shared.quota.pinned(),
            quota_bytes: limits.quota,
            high_bytes: limits.high,
            low_bytes: limits.low,
            spare_bytes: shared.space.spare(),
            fault: shared.space.fault(),
            corrupt_pieces: count(&shared.counters.corrupt),
            evicted_tasks: count(&shared.counters.evicted_tasks),
            evicted_bytes: count(&shared.counters.evicted_bytes),
        }
    }
}

fn info(task: &Task) -> TaskInfo {
    TaskInfo {
        id: task.id(),
        layout: task.layout(),
        media_type: task.media_type(),
        present: task.present(),
        held_bytes: task.held(),
        complete: task.is_complete(),
        pinned: task.is_pinned(),
        last_use_unix: task.last_use() / 1000,
    }
}
