//! A task on disk: what it is, and which of its pieces are here.
//!
//! `made` has its beginning, `entry` what the index keeps of it, `usage` who uses it, `waiters` who
//! waits for it. Writing its pieces is in `write`, reading them in `read`.

mod entry;
mod made;
mod usage;
mod waiters;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use content::{Layout, PieceDigest, PieceIndex, PieceSet, TaskId};
use fixedbitset::FixedBitSet;
use sparse::{Pin, SparseFile, State};
use tokio::sync::watch;

pub(crate) use self::made::Parts;
pub use self::usage::Lease;
use crate::error::{ReadError, StoreError};
use crate::facts::Facts;
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

impl Task {
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
}
