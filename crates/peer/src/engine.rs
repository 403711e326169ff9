//! All tasks of this process: opened, read, served, forgotten.
//!
//! Step 3 of the walk. A node and a supernode run the same engine; what differs is the
//! [`Plan`] that gets missing pieces.

mod reading;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use content::{Layout, PieceBook, SignedStatement, Statement, TaskId, Verifier};
use store::{CreateError, Store};
use wire::data::KnownPeer;
use wire::request::Kind;

use crate::failure::Failure;
use crate::live::{self, Around, LiveTask, Sweep};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::passing::Budget;
use crate::peers::Peers;
use crate::plan::Plan;

/// All tasks of this process. Clones share them.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    verifier: RwLock<Verifier>,
    plan: Arc<dyn Plan>,
    metrics: Metrics,
    live: Mutex<HashMap<TaskId, Arc<LiveTask>>>,
    peers: Mutex<Peers>,
    /// Memory for what the store does not keep.
    budget: Arc<Budget>,
}

/// So much memory is for what the store does not keep, of all tasks together.
const UNKEPT: u64 = 64 << 20;

impl Engine {
    /// An engine over `store`, which believes what `verifier`'s keys signed and gets missing
    /// pieces by `plan`.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        verifier: Verifier,
        plan: Arc<dyn Plan>,
        metrics: Metrics,
    ) -> Self {
        let told = Arc::clone(&plan);
        store.on_loss(move |task, pieces| told.lost(task, pieces));
        Self {
            inner: Arc::new(Inner {
                store,
                verifier: RwLock::new(verifier),
                plan,
                metrics,
                live: Mutex::default(),
                peers: Mutex::default(),
                budget: Budget::new(UNKEPT),
            }),
        }
    }

    /// The engine's counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The store under it.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.inner.store
    }

    /// The keys that are believed.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let verifier = self.inner.verifier.read();
        verifier.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Believes these keys from now on: a node learns them when it joins.
    pub fn believe(&self, verifier: Verifier) {
        let believed = self.inner.verifier.write();
        *believed.unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    /// A task that is in the store, taken into memory.
    #[must_use]
    pub fn live(&self, id: &TaskId) -> Option<Arc<LiveTask>> {
        let mut live = lock(&self.inner.live);
        if let Some(task) = live.get(id).filter(|task| task.is_open_to_more()) {
            return Some(Arc::clone(task));
        }
        let stored = self.inner.store.task(id)?;
        Some(self.take_in(&mut live, stored))
    }

    /// A task of which a supernode signed `statements`; it is created if it is new.
    ///
    /// # Errors
    /// If no statement is believed, or the store cannot make the task.
    pub fn open(&self, statements: &[SignedStatement]) -> Result<Arc<LiveTask>, Failure> {
        let mut task: Option<Arc<LiveTask>> = None;
        for signed in statements {
            let statement = signed
                .believe(&self.verifier())
                .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
            let live = match &task {
                Some(live) => live,
                None => task.insert(self.create_as(&statement)?),
            };
            live.learn_signed(signed.clone(), &self.verifier())?;
        }
        task.ok_or_else(|| Failure::new(Kind::Invalid, "the supernode said nothing of the task"))
    }

    fn create_as(&self, statement: &Statement) -> Result<Arc<LiveTask>, Failure> {
        self.create(statement.task(), statement.layout(), statement.media_type())
    }

    /// A task by its cut; it is created if it is new.
    ///
    /// # Errors
    /// If the store cannot make the task.
    pub fn create(
        &self,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<LiveTask>, Failure> {
        let mut live = lock(&self.inner.live);
        if let Some(task) = live.get(&id)
            && task.layout() == layout
            && task.is_open_to_more()
        {
            return Ok(Arc::clone(task));
        }
        let store = &self.inner.store;
        let stored = match store.create(id, layout, media_type) {
            Err(CreateError::Disk { source, .. }) => {
                tracing::warn!(task = %id, error = %source, "the store has no place for it");
                store.unkept(id, layout, media_type)
            }
            other => other,
        };
        let stored = stored.map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        Ok(self.take_in(&mut live, stored))
    }

    fn take_in(
        &self,
        live: &mut HashMap<TaskId, Arc<LiveTask>>,
        stored: Arc<store::Task>,
    ) -> Arc<LiveTask> {
        let around = Around {
            verifier: self.verifier(),
            plan: Arc::clone(&self.inner.plan),
            metrics: self.inner.metrics.clone(),
            budget: Arc::clone(&self.inner.budget),
            engine: Arc::<Inner>::downgrade(&self.inner),
        };
        let task = LiveTask::new(stored, around);
        if let Some(former) = live.insert(task.id(), Arc::clone(&task)) {
            former.stop.cancel(); // its SHA-256 pass, if it waits for more
            task.expect(former.expected());
        }
        task
    }

    /// Takes a task out of memory and, if its bytes are wrong, off the disk. Who waits for it learns
    /// why before the bytes go.
    pub fn fail(&self, id: &TaskId, failure: Failure, drop_bytes: bool) {
        let mut live = lock(&self.inner.live);
        if let Some(task) = live.remove(id) {
            task.fail(failure);
        }
        if drop_bytes {
            self.drop_bytes(id);
        }
    }

    /// The same for one attempt at a task, if no other has taken its place. Of a task whose bytes are
    /// dropped, whoever asks for it from now on begins with nothing, and what still comes in goes
    /// nowhere.
    pub fn fail_attempt(&self, task: &Arc<LiveTask>, failure: Failure, drop_bytes: bool) {
        let mut live = lock(&self.inner.live);
        task.fail(failure);
        if live.get(&task.id()).is_some_and(|present| Arc::ptr_eq(present, task)) {
            live.remove(&task.id());
            if drop_bytes {
                self.drop_bytes(&task.id());
            }
        }
    }

    fn drop_bytes(&self, id: &TaskId) {
        if let Err(error) = self.inner.store.remove(id) {
            tracing::warn!(task = %id, %error, "a failed task could not be removed");
        }
    }

    /// Removes a task, whoever uses it; who reads it is told.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, id: &TaskId) -> Result<bool, store::StoreError> {
        let live = lock(&self.inner.live).remove(id);
        if let Some(live) = live {
            live.fail(Failure::new(Kind::Other, "the operator removed it from the store"));
        }
        self.inner.store.remove(id)
    }

    /// Lets go of tasks that nobody reads, fetches or serves any more, so that they may be evicted.
    pub fn sweep(&self) {
        self.inner.sweep();
    }

    /// The tasks that somebody reads and that are not all here.
    pub(crate) fn wanted(&self) -> Vec<Arc<LiveTask>> {
        let live: Vec<_> = lock(&self.inner.live).values().cloned().collect();
        live.into_iter().filter(|task| task.want().is_some() && !task.local().is_full()).collect()
    }

    /// Whether a task is in memory: read, fetched or served, or was a moment ago.
    #[must_use]
    pub fn is_live(&self, id: &TaskId) -> bool {
        lock(&self.inner.live).contains_key(id)
    }

    /// What is believed of a stored task's pieces, without taking it into memory: a handle that is
    /// kept would keep it from being evicted.
    #[must_use]
    pub fn book(&self, stored: &store::Task) -> PieceBook {
        let live = lock(&self.inner.live).get(&stored.id()).map(|live| live.book());
        live.unwrap_or_else(|| live::book(stored, &self.verifier()))
    }

    /// Remembers that a node was seen to have pieces of a task.
    pub fn saw_peer(&self, id: TaskId, peer: KnownPeer) {
        lock(&self.inner.peers).saw(id, peer);
    }

    /// Remembers that there is a node.
    pub fn met(&self, peer: KnownPeer) {
        lock(&self.inner.peers).meet(peer);
    }

    /// The nodes that may have pieces of a task, likeliest first.
    #[must_use]
    pub fn known_peers(&self, id: &TaskId) -> Vec<KnownPeer> {
        lock(&self.inner.peers).of(id)
    }

    /// The nodes that were seen last.
    #[must_use]
    pub fn neighbours(&self) -> Vec<KnownPeer> {
        lock(&self.inner.peers).neighbours()
    }
}

impl Sweep for Inner {
    fn sweep(&self) {
        lock(&self.live).retain(|_, task| {
            let used = !task.is_idle(Arc::strong_count(task));
            if !used {
                task.stop.cancel();
            }
            used
        });
        let live = lock(&self.live);
        let known = |id: &TaskId| live.contains_key(id) || self.store.task(id).is_some();
        lock(&self.peers).retain(known);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
