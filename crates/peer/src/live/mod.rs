//! A task that is read, fetched or served: what it is in memory, and who uses it.
//!
//! Step 5 of the walk (docs/ARCHITECTURE.md). A live task stands on the store's task; it adds what
//! only matters while something happens: the believed digests (`book`), the readers' demand
//! (`readers`), how its pieces are read (`pieces`), and how it ended (`end`).

mod book;
mod end;
mod pieces;
mod readers;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use content::{Digest, Layout, PieceBook, PieceIndex, TaskId, Verifier};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::book::book;
pub use self::end::End;
pub(crate) use self::readers::{DemandGuard, ahead};
use crate::demand::Demand;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::passing::{Budget, Passing, Share};
use crate::plan::Plan;

/// A task that was opened so short a time ago is not let go of.
const OPENED_LATELY: Duration = Duration::from_secs(10);

/// The number of the next attempt at any task.
static ATTEMPTS: AtomicU64 = AtomicU64::new(1);

/// A task in memory.
pub struct LiveTask {
    attempt: u64,
    born: Instant,
    stored: Arc<store::Task>,
    book: Mutex<PieceBook>,
    demand: Mutex<Demand>,
    end: watch::Sender<End>,
    pub(crate) plan: Arc<dyn Plan>,
    pub(crate) metrics: Metrics,
    hashing: AtomicBool,
    /// What the whole must be, if its name does not say so.
    expected: OnceLock<Digest>,
    /// The piece that the SHA-256 pass comes to next.
    hashed: AtomicU32,
    watched: AtomicBool,
    pub(crate) stop: CancellationToken,
    /// Pieces in memory, where the store does not keep them; see `unkept`.
    pub(crate) passing: Mutex<Passing>,
    /// Set once the store has refused a piece.
    pub(crate) unkept: OnceLock<Share>,
    pub(crate) budget: Arc<Budget>,
    /// Whether this process hands tasks on to others and reads none in order: a supernode.
    pub(crate) serves: bool,
    placeless: bool,
    /// The engine, for making room.
    engine: Weak<dyn Sweep>,
}

/// Letting go of idle tasks.
pub(crate) trait Sweep: Send + Sync {
    /// Lets go of tasks that nobody reads, fetches or serves.
    fn sweep(&self);
}

/// What a live task has from its engine.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) verifier: Verifier,
    pub(crate) plan: Arc<dyn Plan>,
    pub(crate) metrics: Metrics,
    pub(crate) budget: Arc<Budget>,
    pub(crate) engine: Weak<dyn Sweep>,
}

impl LiveTask {
    /// Takes a stored task into memory, with all that a supernode once signed of it.
    pub(crate) fn new(stored: Arc<store::Task>, around: Around) -> Arc<Self> {
        let book = book(&stored, &around.verifier);
        let stored_nowhere = stored.is_gone();
        let end = if stored.is_complete() { End::Whole } else { End::Open };
        Arc::new(Self {
            attempt: ATTEMPTS.fetch_add(1, Ordering::Relaxed),
            born: Instant::now(),
            stored,
            book: Mutex::new(book),
            demand: Mutex::default(),
            end: watch::channel(end).0,
            serves: around.plan.serves(),
            plan: around.plan,
            metrics: around.metrics,
            hashing: AtomicBool::new(false),
            expected: OnceLock::new(),
            hashed: AtomicU32::new(0),
            watched: AtomicBool::new(false),
            stop: CancellationToken::new(),
            passing: Mutex::default(),
            unkept: OnceLock::new(),
            budget: around.budget,
            placeless: stored_nowhere,
            engine: around.engine,
        })
    }

    /// Which attempt at the task this is, of all that this process made: a task that failed may begin
    /// again, and what becomes of the former attempt must not touch the new one. Never 0.
    #[must_use]
    pub const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The task's name.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.stored.id()
    }

    /// How the task is cut.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.stored.layout()
    }

    /// The task on disk.
    #[must_use]
    pub const fn stored(&self) -> &Arc<store::Task> {
        &self.stored
    }

    /// Whether nobody uses the task, given how many references to it there are: the engine's own,
    /// and that of a SHA-256 pass that waits for bytes.
    ///
    /// Of a task that has just been opened, whoever opened it is about to say what is wanted.
    pub(crate) fn is_idle(&self, references: usize) -> bool {
        let open = matches!(*self.end.borrow(), End::Open);
        if open && self.born.elapsed() < OPENED_LATELY {
            return false;
        }
        let hashing = self.hashing.load(Ordering::Relaxed) && open;
        references <= 1 + usize::from(hashing)
    }

    /// Nobody begins to read it any more, unless somebody has come meanwhile: what it knows of bytes
    /// that have passed is about those. Says whether it is so.
    pub(crate) fn spend(&self) -> bool {
        lock(&self.demand).spend()
    }

    /// Whether somebody who comes now can have it.
    pub(crate) fn is_open_to_more(&self) -> bool {
        !self.has_failed() && !lock(&self.demand).is_spent()
    }

    /// Lets go of other tasks, so that the store may evict them.
    pub(crate) fn sweep_others(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.sweep();
        }
    }

    /// Its part of the memory for what is not kept, once it needs one.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.unkept.get()
    }

    /// Whether the store has no place for it at all.
    pub(crate) fn is_placeless(&self) -> bool {
        self.placeless
    }

    /// Whether the caller is the one who follows the task's end for others; true once for each time
    /// that the task is in memory.
    #[must_use]
    pub fn begin_watching(&self) -> bool {
        !self.watched.swap(true, Ordering::Relaxed)
    }

    /// Whether the caller is the one who begins the SHA-256 pass; true once.
    pub(crate) fn begin_hashing(&self) -> bool {
        let open = matches!(*self.end.borrow(), End::Open);
        open && !self.hashing.swap(true, Ordering::Relaxed)
    }

    /// The whole must have this digest, whatever its name says; the first one that is said counts.
    pub(crate) fn expect(&self, digest: Option<Digest>) {
        if let Some(digest) = digest {
            let _ = self.expected.set(digest);
        }
    }

    /// The digest that the whole must have, if that was said.
    pub(crate) fn expected(&self) -> Option<Digest> {
        self.expected.get().copied()
    }

    /// The piece that the SHA-256 pass comes to next.
    pub(crate) fn hashed(&self) -> PieceIndex {
        self.hashed.load(Ordering::Relaxed)
    }

    /// The SHA-256 pass has come to `next`.
    pub(crate) fn hashed_up_to(&self, next: PieceIndex) {
        self.hashed.store(next, Ordering::Relaxed);
        if self.is_unkept() {
            self.release_passed();
            self.stored.changed();
        }
    }
}

impl std::fmt::Debug for LiveTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTask").field("id", &self.id()).finish_non_exhaustive()
    }
}
