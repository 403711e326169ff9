//! The store: opening it, finding and removing tasks, what it takes now.
//!
//! `make` makes tasks, `glance` tells what there is, `grants` keeps small values for a while.

mod glance;
mod grants;
mod make;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use content::{PieceSet, TaskId};

pub use self::glance::{StoreStats, TaskInfo};
use crate::config::StoreConfig;
use crate::error::{OpenError, StoreError};
use crate::lock::{lock, read, write};
use crate::recover;
use crate::shared::Shared;
use crate::space::Fault;
use crate::task::Task;

/// All tasks on one disk. Clones share them.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) folder: PathBuf,
    pub(crate) tasks: RwLock<HashMap<TaskId, Arc<Task>>>,
    /// Held while a task is made or removed, so that files of one name are never both.
    pub(crate) changing: Mutex<()>,
    pub(crate) evicting: Mutex<()>,
    /// Above so many bytes, room is searched for again.
    pub(crate) search_above: AtomicU64,
}

impl Store {
    /// Opens the store in the configured folder, making it if it is missing, and puts right what a
    /// crash may have left.
    ///
    /// # Errors
    /// If it is open already, or the folder cannot be used.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        recover::open(config).map(|inner| Self { inner })
    }

    /// A task, if the store knows it.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<Arc<Task>> {
        read(&self.inner.tasks).get(id).cloned()
    }

    /// Removes a task, whoever uses it: handles to it read and write nothing from then on, and
    /// whoever sends from its file can finish. Says whether there was one.
    ///
    /// # Errors
    /// If the disk refuses; the task is then gone for this run, and what was left of it is taken
    /// in or removed at the next start.
    pub fn remove(&self, id: &TaskId) -> Result<bool, StoreError> {
        let _changing = lock(&self.inner.changing);
        let task = write(&self.inner.tasks).remove(id);
        match task {
            Some(task) => task.retire().map(|()| true),
            None => Ok(false),
        }
    }

    /// Tells `hear` of every piece that could be claimed and no longer can: evicted, removed, or no
    /// longer what it was. It is called in the middle of a change: it returns at once and asks
    /// nothing of the store. The first listener stays.
    pub fn on_loss(&self, hear: impl Fn(TaskId, PieceSet) + Send + Sync + 'static) {
        self.inner.shared.losses.listen(Box::new(hear));
    }

    /// Keeps a task from being evicted until it is unpinned, over restarts too. Says whether there
    /// is such a task.
    ///
    /// # Errors
    /// If the index refuses; the pin then holds for this run.
    pub fn pin(&self, id: &TaskId) -> Result<bool, StoreError> {
        self.set_pinned(id, true)
    }

    /// Lets a task be evicted again. Says whether there is such a task.
    ///
    /// # Errors
    /// If the index refuses; the pin is then off for this run.
    pub fn unpin(&self, id: &TaskId) -> Result<bool, StoreError> {
        self.set_pinned(id, false)
    }

    fn set_pinned(&self, id: &TaskId, pinned: bool) -> Result<bool, StoreError> {
        match self.task(id) {
            Some(task) => Ok(task.set_pinned(pinned).map(|()| true)?),
            None => Ok(false),
        }
    }

    /// Whether the disk takes writes, as far as the last one showed.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.inner.shared.space.fault().is_none()
    }

    /// Tries whether the disk takes writes, evicting where it has become too full; the caller
    /// drives it on a schedule (some seconds) while the store is not [`Self::writable`].
    pub fn probe(&self) -> bool {
        let shared = &self.inner.shared;
        let was_writable = self.writable();
        if shared.space.fault() == Some(Fault::Full) {
            self.evict();
        }
        if !shared.space.probe() {
            return false;
        }
        if !was_writable {
            self.inner.renew_index();
        }
        true
    }

    /// Waits until the index is on the disk: before an orderly end.
    ///
    /// # Errors
    /// If the index refuses.
    pub fn flush(&self) -> Result<(), StoreError> {
        Ok(self.inner.shared.index.flush()?)
    }
}

impl Inner {
    /// After the disk refused writes: makes the index anew, and writes what was not written.
    pub(crate) fn renew_index(&self) {
        let index = &self.shared.index;
        let mut known = match index.renew() {
            Ok(known) => known.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the store's index cannot be made anew; it is tried again");
                return;
            }
        };
        let tasks: Vec<_> = read(&self.tasks).values().cloned().collect();
        for task in tasks {
            if let Some((facts, last_use)) = known.remove(&task.id()) {
                task.recall(facts, last_use);
            }
            let facts = lock(&task.facts).clone();
            task.log_index(index.set_facts(&task.id(), &facts));
        }
    }
}
