//! A task that is read, fetched or served: what is known of it, what is here, who waits for it.
//!
//! Step 5 of the walk (docs/ARCHITECTURE.md). A live task stands on the store's task; it adds what
//! only matters while something happens: the believed digests in memory, the readers' demand, and
//! how the one SHA-256 pass ended.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use content::{
    Layout, PieceBook, PieceIndex, Run, SignedStatement, Statement, TaskId, Verifier, Whole,
};
use store::CompleteError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::request::Kind;

use crate::demand::{Demand, Want};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::passing::{Budget, Passing, Share};
use crate::plan::Plan;

/// The known digests of a stored task's pieces: what a supernode once signed, as far as it is believed,
/// and what this node kept.
pub(crate) fn book(stored: &store::Task, verifier: &Verifier) -> PieceBook {
    let mut book = PieceBook::new(stored.id(), stored.layout());
    for statement in stored.statements() {
        // A statement of a former key or of another cut tells nothing any more.
        if let Ok(statement) = statement.believe(verifier) {
            let _ = book.learn(&statement);
        }
    }
    recall(&mut book, stored);
    book
}

/// A piece that this node once took from the origin itself and lost again must be what it was: the
/// whole is not hashed a second time while it counts as whole.
fn recall(book: &mut PieceBook, stored: &store::Task) {
    for (index, digest) in stored.kept_digests() {
        book.recall(index, digest);
    }
}

/// How a task ended, if it has.
#[derive(Clone, Debug)]
pub enum End {
    /// Not all of it has come and been hashed.
    Open,
    /// All of it is here and is what its name says.
    Whole,
    /// It came to nothing.
    Failed(Failure),
}

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
    spent: AtomicBool,
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
            hashed: AtomicU32::new(0),
            watched: AtomicBool::new(false),
            stop: CancellationToken::new(),
            passing: Mutex::default(),
            unkept: OnceLock::new(),
            budget: around.budget,
            spent: AtomicBool::new(false),
            placeless: stored_nowhere,
            engine: around.engine,
        })
    }

    /// Whether the caller is the one who begins the SHA-256 pass; true once.
    pub(crate) fn begin_hashing(&self) -> bool {
        let open = matches!(*self.end.borrow(), End::Open);
        open && !self.hashing.swap(true, Ordering::Relaxed)
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

    /// Nobody begins to read it any more: what it knows of bytes that have passed is about those.
    pub(crate) fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    /// Whether somebody who comes now can have it.
    pub(crate) fn is_open_to_more(&self) -> bool {
        !self.has_failed() && !self.spent.load(Ordering::Relaxed)
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

    /// What each reader wants.
    pub(crate) fn readers(&self) -> Vec<Want> {
        lock(&self.demand).readers()
    }

    /// The piece that the reader behind of those that wait is at.
    pub(crate) fn waiting_reader(&self) -> Option<PieceIndex> {
        lock(&self.demand).waiting()
    }

    /// Whether the caller is the one who follows the task's end for others; true once for each time
    /// that the task is in memory.
    #[must_use]
    pub fn begin_watching(&self) -> bool {
        !self.watched.swap(true, Ordering::Relaxed)
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

    /// The digests that are believed now.
    #[must_use]
    pub fn book(&self) -> PieceBook {
        lock(&self.book).clone()
    }

    /// Takes over a believed statement, in memory.
    ///
    /// # Errors
    /// If it is about another task or another cut of it.
    pub fn learn(&self, statement: &Statement) -> Result<(), content::verified::OtherTask> {
        lock(&self.book).learn(statement)
    }

    /// Takes over a statement and keeps it with the task, so that it outlives this process and can
    /// be told to others.
    ///
    /// # Errors
    /// If the cluster did not sign it, or it is not of this task.
    pub fn learn_signed(
        &self,
        signed: SignedStatement,
        verifier: &Verifier,
    ) -> Result<(), Failure> {
        let statement = signed
            .believe(verifier)
            .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        self.learn(&statement).map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        if let Err(error) = self.stored.add_statement(signed, &statement) {
            tracing::warn!(task = %self.id(), %error, "a statement could not be kept");
        }
        Ok(())
    }

    /// Changes whenever pieces come or go.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.stored.watch()
    }

    /// How the task ended, now and as it changes.
    #[must_use]
    pub fn end(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// A piece for somebody else: verified bytes only. `None` if it is not here, or no longer
    /// what it was.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn read_present(
        self: &Arc<Self>,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        let live = Arc::clone(self);
        blocking(move || match live.passing_verified(index) {
            Some(bytes) => Ok(Some(bytes)),
            None => live.stored.read_piece(index, &live.book()),
        })
        .await
    }

    /// A piece for a reader on this node, provisional ones too.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn read_local(
        self: &Arc<Self>,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        let live = Arc::clone(self);
        blocking(move || live.read_local_now(index)).await
    }

    /// [`Self::read_local`], for callers that may block.
    pub(crate) fn read_local_now(
        &self,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        if let Some(bytes) = self.passing_local(index) {
            return Ok(Some(bytes));
        }
        match self.stored.read_provisional(index)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.stored.read_piece(index, &self.book()),
        }
    }

    /// A reader begins: what it wants counts until the returned demand is dropped.
    pub(crate) fn demand(self: &Arc<Self>, want: Want) -> DemandGuard {
        self.spent.store(false, Ordering::Relaxed);
        let number = lock(&self.demand).add(want);
        self.replan();
        DemandGuard { live: Arc::clone(self), number, told: want }
    }

    /// What all readers want together.
    #[must_use]
    pub fn want(&self) -> Option<Want> {
        let together = lock(&self.demand).together();
        together.and_then(|all| self.narrowed(all))
    }

    pub(crate) fn replan(self: &Arc<Self>) {
        self.plan.wanted(self);
        if self.is_unkept() {
            // After the want: what has passed lies before it, and what a later reader wants again has
            // to be told, or nobody would bring it.
            self.tell_gone(Run::EMPTY);
        }
    }

    /// All of it was hashed and matched: provisional pieces become pieces, and readers get the end.
    pub(crate) fn complete(&self, whole: &Whole) {
        let kept = if self.is_unkept() { Ok(()) } else { self.stored.complete(whole) };
        match kept {
            Err(error @ (CompleteError::Missing { .. } | CompleteError::Foreign(_))) => {
                let message = format!("the store cannot keep the task: {error}");
                return self.fail(Failure::new(Kind::Other, message));
            }
            // What was hashed is right all the same; it is hashed again when it is next wanted.
            Err(error @ (CompleteError::Put(_) | CompleteError::Index(_))) => {
                tracing::warn!(task = %self.id(), %error, "the store does not record that the whole matched");
            }
            Ok(()) => recall(&mut lock(&self.book), &self.stored),
        }
        self.metrics.verified();
        self.end.send_replace(End::Whole);
        tracing::debug!(task = %self.id(), "whole and verified");
    }

    /// It came to nothing: whoever waits for it is told why.
    pub fn fail(&self, failure: Failure) {
        self.end.send_replace(End::Failed(failure));
        self.stop.cancel();
    }

    /// Whether all of it was here and matched, in this run or an earlier one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(*self.end.borrow(), End::Whole)
    }

    /// Whether it came to nothing.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(*self.end.borrow(), End::Failed(_))
    }

    /// Whether nothing more is to be brought: it is about to fail, has failed, or was let go of.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the whole was hashed and matched.
    ///
    /// # Errors
    /// If it came to nothing.
    pub async fn until_whole(&self) -> Result<(), Failure> {
        let mut end = self.end();
        loop {
            match &*end.borrow_and_update() {
                End::Whole => return Ok(()),
                End::Failed(failure) => return Err(failure.clone()),
                End::Open => {}
            }
            if end.changed().await.is_err() {
                return Err(Failure::new(Kind::Other, "the task was let go"));
            }
        }
    }

    /// Why the task's bytes cannot be had: because it failed, or else `seen`. A task that fails is
    /// removed and stopped too, and a reader may see that before it is told why.
    pub(crate) async fn cause(&self, seen: impl Into<String>) -> Failure {
        match tokio::time::timeout(TELL_WITHIN, self.until_whole()).await {
            Ok(Err(failure)) => failure,
            _ => Failure::new(Kind::Other, seen),
        }
    }

    /// Why a task was stopped: the failure that is being told just now, if it is one.
    pub(crate) async fn why_stopped(&self) -> Failure {
        self.cause("nobody wants the task any more").await
    }

    /// Waits until piece `index` is here, or the task failed.
    pub(crate) async fn until_local(&self, index: PieceIndex) -> Result<(), Failure> {
        let mut changes = self.changes();
        let mut end = self.end();
        loop {
            changes.borrow_and_update();
            if self.has_local(index) {
                return Ok(());
            }
            if let End::Failed(failure) = &*end.borrow_and_update() {
                return Err(failure.clone());
            }
            let gone = tokio::select! {
                changed = changes.changed() => changed.is_err(),
                changed = end.changed() => changed.is_err(),
            };
            if gone {
                return Err(self.cause("the task was removed from the store").await);
            }
        }
    }
}

impl std::fmt::Debug for LiveTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTask").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A stopped task's failure is told within this time, if there is one.
const TELL_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// One reader's part in the demand on a task. Dropping it takes the part back.
#[derive(Debug)]
pub(crate) struct DemandGuard {
    live: Arc<LiveTask>,
    number: u64,
    told: Want,
}

impl DemandGuard {
    /// The reader has moved. Small moves are not told on: the plan looks far enough ahead.
    pub(crate) fn moved(&mut self, want: Want) {
        lock(&self.live.demand).update(self.number, want);
        self.live.release_passed();
        let far = want.reader_at.abs_diff(self.told.reader_at) >= self.live.step(STEP)
            || want.run != self.told.run
            || want.priority != self.told.priority;
        if far {
            self.told = want;
            self.live.replan();
        }
    }
}

impl DemandGuard {
    /// Whether the reader waits for the piece that it is at.
    pub(crate) fn waits(&self, waits: bool) {
        lock(&self.live.demand).set_waiting(self.number, waits);
        if self.live.is_unkept() {
            self.live.replan();
        }
    }
}

/// A reader's move of so many pieces is told to the plan: a quarter of the scheduler's window.
const STEP: u32 = 16;

impl Drop for DemandGuard {
    fn drop(&mut self) {
        let last = lock(&self.live.demand).remove(self.number);
        if last {
            self.live.end_passing();
        } else {
            self.live.release_passed();
        }
        self.live.replan();
    }
}

/// The run of pieces at and after `at` that a reader wants in front of it.
#[must_use]
pub(crate) fn ahead(at: PieceIndex, end: PieceIndex, window: Option<u32>) -> Run {
    let end = window.map_or(end, |window| at.saturating_add(window).min(end));
    Run { first: at, end }
}

/// Runs disk work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The work panicked: let the panic go on where its result was wanted.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await, // the runtime is shutting down
        },
    }
}

/// Locks, whatever happened to another holder: the guarded values are valid after every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
