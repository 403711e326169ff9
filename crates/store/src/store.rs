//! The store: opening it, finding and making tasks, what it holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use content::{Layout, PieceSet, TaskId};
use sparse::SparseFile;
use sparse::steps::step;

use crate::config::StoreConfig;
use crate::error::{CreateError, OpenError, PutError, StoreError};
use crate::facts::Facts;
use crate::lock::{lock, read, write};
use crate::shared::Shared;
use crate::space::Fault;
use crate::task::Task;
use crate::{index, names, recover};

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

    /// A task, made if it is new. The media type of a task that has none yet is filled in.
    ///
    /// # Errors
    /// If it is cut in another way in the store, or the disk takes nothing.
    pub fn create(
        &self,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, CreateError> {
        if let Some(task) = self.task(&id) {
            return existing(task, layout, media_type);
        }
        let _changing = lock(&self.inner.changing);
        if let Some(task) = self.task(&id) {
            return existing(task, layout, media_type);
        }
        let shared = &self.inner.shared;
        let made = shared.space.check().and_then(|()| {
            self.inner.make(id, layout, media_type).inspect_err(|error| shared.space.learn(error))
        });
        let task = made.map_err(|source| CreateError::Disk { task: id, source })?;
        write(&self.inner.tasks).insert(id, Arc::clone(&task));
        Ok(task)
    }

    /// A task that the disk has no place for: its handle keeps nothing, every piece is refused as
    /// [`PutError::Gone`], and the store does not know it.
    ///
    /// # Errors
    /// If it is cut as no file can be.
    pub fn unkept(
        &self,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, CreateError> {
        let stem = names::stem(&self.inner.folder, &id);
        let file = SparseFile::nowhere(&stem, layout.length(), piece_size(layout));
        let file = file.map_err(|error| CreateError::Disk {
            task: id,
            source: PutError::of_sparse(id, error),
        })?;
        let facts = Facts::new(layout, media_type);
        let store = Arc::downgrade(&self.inner);
        let shared = Arc::clone(&self.inner.shared);
        Ok(Arc::new(Task::unkept(id, layout, file, facts, shared, store)))
    }

    /// Tells `hear` of every piece that could be claimed and no longer can: evicted, removed, or no
    /// longer what it was. It is called in the middle of a change: it returns at once and asks
    /// nothing of the store. The first listener stays.
    pub fn on_loss(&self, hear: impl Fn(TaskId, PieceSet) + Send + Sync + 'static) {
        self.inner.shared.losses.listen(Box::new(hear));
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
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            tasks: read(&self.inner.tasks).len() as u64,
            bytes: shared.quota.total(),
            pinned_bytes: shared.quota.pinned(),
            quota_bytes: shared.limits.quota,
            high_bytes: shared.limits.high,
            low_bytes: shared.limits.low,
            spare_bytes: shared.space.spare(),
            fault: shared.space.fault(),
            corrupt_pieces: count(&shared.counters.corrupt),
            evicted_tasks: count(&shared.counters.evicted_tasks),
            evicted_bytes: count(&shared.counters.evicted_bytes),
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

    /// Keeps a small value until `expires_unix` (Unix seconds): what a client was granted.
    ///
    /// # Errors
    /// If it is too large, or the index refuses.
    pub fn put_grant(&self, key: &[u8], value: &[u8], expires_unix: u64) -> Result<(), StoreError> {
        let bytes = key.len() + value.len();
        if bytes > index::MAX_VALUE {
            return Err(StoreError::TooLarge { bytes });
        }
        let index = &self.inner.shared.index;
        Ok(index.put_grant(key, value, expires_unix)?)
    }

    /// A grant that has not ended at `now_unix`. An index that cannot be read has none.
    #[must_use]
    pub fn grant(&self, key: &[u8], now_unix: u64) -> Option<Vec<u8>> {
        let found = self.inner.shared.index.grant(key, now_unix);
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a kept grant cannot be read");
            None
        })
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
    fn make(
        self: &Arc<Self>,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, PutError> {
        let stem = names::stem(&self.folder, &id);
        if let Some(folder) = stem.parent() {
            recover::make_folder(folder).map_err(|error| PutError::of_io(folder, error))?;
        }
        let file = SparseFile::create(&stem, layout.length(), piece_size(layout))
            .map_err(|error| PutError::of_sparse(id, error))?;
        let facts = Facts::new(layout, media_type);
        let shared = &self.shared;
        // Without its entry a task is taken in again after a restart, so its loss is no harm.
        let tick = shared.clock.tick();
        let entered =
            shared.index.set_facts(&id, &facts).and_then(|()| shared.index.set_used(&id, tick));
        step("index entry written");
        let store = Arc::downgrade(self);
        let task = Task::new(id, layout, file, facts, tick, Arc::clone(shared), store);
        task.log_index(entered);
        Ok(Arc::new(task))
    }

    /// After the disk refused writes: makes the index anew, and writes what was not written.
    pub(crate) fn renew_index(&self) {
        let index = &self.shared.index;
        if let Err(error) = index.renew() {
            tracing::warn!(%error, "the store's index cannot be made anew; it is tried again");
            return;
        }
        let tasks: Vec<_> = read(&self.tasks).values().cloned().collect();
        for task in tasks {
            let facts = lock(&task.facts).clone();
            task.log_index(index.set_facts(&task.id(), &facts));
        }
    }
}

fn piece_size(layout: Layout) -> u32 {
    u32::try_from(layout.piece_size().bytes()).unwrap_or(u32::MAX)
}

fn existing(task: Arc<Task>, asked: Layout, media_type: &str) -> Result<Arc<Task>, CreateError> {
    if task.layout() != asked {
        return Err(CreateError::OtherLayout { task: task.id(), stored: task.layout(), asked });
    }
    task.log_index(task.update_facts(|facts| {
        if facts.media_type.is_empty() {
            media_type.clone_into(&mut facts.media_type);
        }
    }));
    task.touch();
    Ok(task)
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
