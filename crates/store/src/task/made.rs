//! A task's beginning: one on the disk, or one that keeps nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use content::{Layout, PieceSet, TaskId};
use sparse::SparseFile;
use tokio::sync::watch;

use super::Task;
use crate::facts::Facts;
use crate::lock::lock;
use crate::shared::{Account, Shared};
use crate::store::Inner;

/// What a task is made of.
pub(crate) struct Parts {
    pub(crate) id: TaskId,
    pub(crate) layout: Layout,
    pub(crate) file: SparseFile,
    pub(crate) facts: Facts,
    /// As the store's clock has it; 0 if it was never used.
    pub(crate) last_use: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Weak<Inner>,
}

impl Task {
    pub(crate) fn new(parts: Parts) -> Self {
        let last_use = parts.last_use;
        let task = Self::unaccounted(parts);
        let quota = &task.shared.quota;
        quota.add(task.account, task.file.held(), last_use);
        let operator_pin = lock(&task.facts).pinned.then(|| quota.pin(&task.account)).flatten();
        *lock(&task.operator_pin) = operator_pin;
        task
    }

    /// A task that keeps nothing: as if it had been removed, but that it can be watched.
    pub(crate) fn unkept(parts: Parts) -> Self {
        let task = Self::unaccounted(parts);
        task.gone.store(true, Ordering::Release);
        task
    }

    fn unaccounted(parts: Parts) -> Self {
        let Parts { id, layout, file, facts, last_use, shared, store } = parts;
        let serial = shared.serials.fetch_add(1, Ordering::Relaxed);
        let account = Account { serial, id };
        Self {
            id,
            layout,
            account,
            file,
            shared,
            store,
            facts: Mutex::new(facts),
            doubtful: Mutex::new(PieceSet::none(layout.pieces())),
            own: Mutex::default(),
            changes: Mutex::new(Some(watch::channel(0).0)),
            gone: AtomicBool::new(false),
            leases: AtomicU32::new(0),
            operator_pin: Mutex::default(),
            used_saved: AtomicU64::new(last_use),
        }
    }
}
