//! A task on disk: its pieces, what is known of it, and who uses it.
//!
//! Writing its pieces is in `write`, reading them in `read`.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use content::{Layout, PieceDigest, PieceIndex, PieceSet, SignedStatement, Statement, TaskId};
use fixedbitset::FixedBitSet;
use sparse::{Pin, SparseFile, State};
use tokio::sync::watch;

use crate::error::{IndexError, ReadError, StoreError};
use crate::facts::Facts;
use crate::index::Index;
use crate::lock::lock;
use crate::shared::{Account, Shared};
use crate::store::Inner;

/// A stored task. While anybody holds its handle, it is not evicted.
#[derive(Debug)]
pub struct Task {
    pub(crate) id: TaskId,
    pub(crate) layout: Layout,
    pub(crate) account: Account,
    pub(crate) file: SparseFile,
    pub(crate) shared: Arc<Shared>,
    /// For making room. It goes when the store is closed before its tasks.
    pub(crate) store: Weak<Inner>,
    pub(crate) facts: Mutex<Facts>,
    /// Recorded pieces that somebody wanted and nobody could verify, for want of a digest. They
    /// are not claimed until a statement comes.
    pub(crate) doubtful: Mutex<PieceSet>,
    /// Digests of provisional pieces, computed when they came.
    pub(crate) own: Mutex<BTreeMap<PieceIndex, PieceDigest>>,
    changes: Mutex<Option<watch::Sender<u64>>>,
    gone: AtomicBool,
    leases: AtomicU32,
    operator_pin: Mutex<Option<Pin<Account>>>,
    used_saved: AtomicU64,
}

/// Last use is written to the index at most so often, in milliseconds.
const SAVE_USE_EVERY: u64 = 60_000;

impl Task {
    pub(crate) fn new(
        id: TaskId,
        layout: Layout,
        file: SparseFile,
        facts: Facts,
        last_use: u64,
        shared: Arc<Shared>,
        store: Weak<Inner>,
    ) -> Self {
        let task = Self::unaccounted(id, layout, file, facts, last_use, shared, store);
        let quota = &task.shared.quota;
        quota.add(task.account, task.file.held(), last_use);
        let operator_pin = lock(&task.facts).pinned.then(|| quota.pin(&task.account)).flatten();
        *lock(&task.operator_pin) = operator_pin;
        task
    }

    /// A task that keeps nothing: as if it had been removed, but that it can be watched.
    pub(crate) fn unkept(
        id: TaskId,
        layout: Layout,
        file: SparseFile,
        facts: Facts,
        shared: Arc<Shared>,
        store: Weak<Inner>,
    ) -> Self {
        let task = Self::unaccounted(id, layout, file, facts, 0, shared, store);
        task.gone.store(true, Ordering::Release);
        task
    }

    fn unaccounted(
        id: TaskId,
        layout: Layout,
        file: SparseFile,
        facts: Facts,
        last_use: u64,
        shared: Arc<Shared>,
        store: Weak<Inner>,
    ) -> Self {
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

    /// The task's name.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The media type that the origin gave; empty where it is not known.
    #[must_use]
    pub fn media_type(&self) -> String {
        lock(&self.facts).media_type.clone()
    }

    /// The pieces that may be claimed: verified in this run, or recorded by an earlier one.
    #[must_use]
    pub fn present(&self) -> PieceSet {
        let mut pieces = self.pieces(&self.file.recorded_and_present());
        pieces.difference_with(&lock(&self.doubtful));
        pieces
    }

    /// The pieces that a reader on this node may have: [`Self::present`] and provisional ones.
    #[must_use]
    pub fn local(&self) -> PieceSet {
        let mut pieces = self.pieces(&self.file.local());
        pieces.difference_with(&lock(&self.doubtful));
        pieces
    }

    /// Whether piece `index` is in [`Self::present`].
    #[must_use]
    pub fn has_present(&self, index: PieceIndex) -> bool {
        match self.file.state(index) {
            State::Present => true,
            State::Recorded => !lock(&self.doubtful).contains(index),
            State::Absent | State::Provisional => false,
        }
    }

    /// Whether piece `index` is in [`Self::local`].
    #[must_use]
    pub fn has_local(&self, index: PieceIndex) -> bool {
        self.file.state(index) == State::Provisional || self.has_present(index)
    }

    fn pieces(&self, blocks: &FixedBitSet) -> PieceSet {
        let mut pieces = PieceSet::none(self.layout.pieces());
        for block in blocks.ones() {
            pieces.insert(PieceIndex::try_from(block).unwrap_or(PieceIndex::MAX));
        }
        pieces
    }

    /// Whether every byte of `range` lies in pieces that were verified in this run, so that it may
    /// be sent straight from [`Self::file`]. The caller holds a [`Lease`] meanwhile.
    #[must_use]
    pub fn is_ready(&self, range: Range<u64>) -> bool {
        let run = self.layout.covering(range.clone());
        range.end <= self.layout.length() && self.file.are_present(run.first..run.end)
    }

    /// The task's data file, for sending from the page cache; a piece lies in it where it lies in
    /// the task. See [`Self::is_ready`].
    ///
    /// # Errors
    /// If it cannot be opened, or the task was removed.
    pub fn file(&self) -> Result<Arc<File>, ReadError> {
        self.file.data().map_err(|source| ReadError { task: self.id, source })
    }

    /// Whether the SHA-256 of the whole matched on this node and all its pieces are still here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        lock(&self.facts).whole.is_some() && self.present().is_full()
    }

    /// The SHA-256 of the whole, once it was hashed on this node: what a URL's task lacks in its
    /// name.
    #[must_use]
    pub fn whole_digest(&self) -> Option<content::Digest> {
        lock(&self.facts).whole
    }

    /// How many bytes of it are stored, provisional ones too.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.file.held()
    }

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

    /// Keeps a statement of a supernode with the task; `statement` is what was believed of it.
    /// What it makes superfluous goes.
    ///
    /// # Errors
    /// If it is about another task, or the index refuses.
    pub fn add_statement(
        &self,
        signed: SignedStatement,
        statement: &Statement,
    ) -> Result<(), StoreError> {
        if statement.task() != self.id || statement.layout() != self.layout {
            return Err(StoreError::Foreign(self.id));
        }
        // It may tell the digests that doubtful pieces waited for, kept on disk or not.
        *lock(&self.doubtful) = PieceSet::none(self.layout.pieces());
        self.changed();
        let (run, whole) = (statement.run(), statement.is_whole());
        Ok(self.with_entry(|index| index.add_statement(&self.id, run, whole, &signed))?)
    }

    /// The statements that were kept. An index that cannot be read has none.
    #[must_use]
    pub fn statements(&self) -> Vec<SignedStatement> {
        self.shared.index.statements(&self.id).unwrap_or_else(|error| {
            tracing::warn!(task = %self.id, %error, "kept statements cannot be read");
            Vec::new()
        })
    }

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

    /// Changes what is known of the task, here and then in the index.
    pub(crate) fn update_facts(&self, change: impl FnOnce(&mut Facts)) -> Result<(), IndexError> {
        let mut facts = lock(&self.facts);
        let before = facts.clone();
        change(&mut facts);
        if *facts == before || self.is_gone() {
            return Ok(());
        }
        self.shared.index.set_facts(&self.id, &facts)
    }

    /// Writes to the task's part of the index, unless the task was removed: nothing is written
    /// behind its removal.
    pub(crate) fn with_entry(
        &self,
        write: impl FnOnce(&Index) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let _facts = lock(&self.facts);
        if self.is_gone() {
            return Ok(());
        }
        write(&self.shared.index)
    }

    /// Whether the task was removed from the store. Its handle then reads nothing and writes
    /// nothing.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Takes the task off the disk, out of the account and out of the index.
    pub(crate) fn retire(&self) -> Result<(), StoreError> {
        self.gone.store(true, Ordering::Release);
        let lost = self.present();
        let deleted = self.file.delete();
        self.shared.quota.remove(&self.account);
        *lock(&self.changes) = None;
        let _facts = lock(&self.facts); // see `with_entry`
        let forgotten = self.shared.index.remove(&self.id);
        sparse::steps::step("index entry removed");
        self.shared.losses.tell(self.id, lost);
        deleted?;
        Ok(forgotten?)
    }

    /// Closes the descriptors if nobody reads, streams or serves the task.
    pub(crate) fn release_if_idle(&self) {
        if self.leases.load(Ordering::Relaxed) == 0 {
            self.file.release();
        }
    }

    pub(crate) fn last_use(&self) -> u64 {
        self.shared.quota.last_use(&self.account).unwrap_or(0)
    }

    /// For index writes whose loss only costs something later.
    pub(crate) fn log_index(&self, outcome: Result<(), IndexError>) {
        if let Err(error) = outcome {
            tracing::warn!(task = %self.id, %error, "the store's index was not written");
        }
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
