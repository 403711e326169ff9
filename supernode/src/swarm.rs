//! The scheduler's one owner: events of nodes and of the origin go in, leases go out.
//!
//! `schedule::Swarm` decides; this file knows the clock, the names behind the numbers, and where a
//! decision is sent. Events are applied as they come, under a lock held for microseconds; one
//! planner task turns batches of them into decisions.

mod act;
mod claims;
mod hear;
mod say;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use content::{SignedStatement, Signer, TaskId};
use peer::feed::{Feeds, Need};
use peer::serve::unix_now;
use peer::{Engine, Failure, LiveTask};
use schedule::{Event, NodeFacts, NodeId, Swarm as Scheduler};
use tokio::sync::{Notify, mpsc};
use wire::control::{self, FromSupernode, SupernodeSays, TaskFailed};
use wire::data::KnownPeer;

use crate::counters::Counters;
use crate::wanted::Wanted;
use claims::Claims;

pub use hear::Claim;

/// The swarm, shared by all sessions and answers.
#[derive(Clone)]
pub struct Swarm {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    work: Notify,
    started: Instant,
    engine: Engine,
    feeds: Feeds,
    signer: Arc<Signer>,
    ticket_life: Duration,
    counters: Counters,
}

struct State {
    scheduler: Scheduler,
    nodes: HashMap<NodeId, Node>,
    names: HashMap<String, NodeId>,
    next_node: u64,
    needs: HashMap<TaskId, Need>,
    /// Who may want which task, and until when (Unix seconds). They are told what becomes of it.
    grants: HashMap<TaskId, HashMap<NodeId, u64>>,
    claims: Claims,
    /// The present attempt at each task ([`LiveTask::attempt`]).
    attempts: HashMap<TaskId, u64>,
    wanted: Wanted,
}

/// A node is told of so many others when it comes.
const NEIGHBOURS: usize = 16;

/// A connected node.
struct Node {
    name: String,
    address: String,
    out: mpsc::Sender<FromSupernode>,
    /// Whether it has told all that it holds.
    ready: bool,
}

/// A node that says hello.
#[derive(Debug)]
pub struct Newcomer {
    /// Its name, from its certificate.
    pub name: String,
    /// Where other nodes reach it.
    pub address: String,
    /// What the scheduler should know of it.
    pub facts: NodeFacts,
    /// Where messages to it go. A node that does not drain it is cut off.
    pub out: mpsc::Sender<FromSupernode>,
}

impl Swarm {
    /// A swarm without nodes, whose cache is `engine`, filled by `feeds`.
    #[must_use]
    pub fn new(
        engine: Engine,
        feeds: Feeds,
        signer: Arc<Signer>,
        ticket_life: Duration,
        cache: NodeFacts,
        counters: Counters,
    ) -> Self {
        let mut scheduler = Scheduler::new(schedule::Policy::default(), unix_now());
        let joined = Event::Joined { node: NodeId::CACHE, facts: cache };
        scheduler.apply(joined, 0);
        let state = State {
            scheduler,
            nodes: HashMap::new(),
            names: HashMap::new(),
            next_node: 1,
            needs: HashMap::new(),
            grants: HashMap::new(),
            claims: Claims::default(),
            attempts: HashMap::new(),
            wanted: Wanted::default(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                work: Notify::new(),
                started: Instant::now(),
                engine,
                feeds,
                signer,
                ticket_life,
                counters,
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every step leaves the state whole, so a panicked holder harms nobody.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.inner.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the scheduler something; a plan follows soon.
    pub fn apply(&self, event: Event) {
        let now = self.now();
        self.state().scheduler.apply(event, now);
        self.inner.work.notify_one();
    }

    /// Some of the other nodes, the latest first: whom a node may turn to without us.
    #[must_use]
    pub fn neighbours(&self, of: NodeId) -> Vec<KnownPeer> {
        let state = self.state();
        let mut others: Vec<_> = state.nodes.iter().filter(|(id, _)| **id != of).collect();
        others.sort_by_key(|(id, _)| std::cmp::Reverse(id.0));
        let known =
            |node: &Node| KnownPeer { name: node.name.clone(), address: node.address.clone() };
        others.into_iter().take(NEIGHBOURS).map(|(_, node)| known(node)).collect()
    }

    /// A node has come. A former session of the same name is over.
    pub fn join(&self, newcomer: Newcomer) -> NodeId {
        let now = self.now();
        let mut state = self.state();
        if let Some(former) = state.names.get(&newcomer.name).copied() {
            state.leave(former, now);
        }
        let id = NodeId(state.next_node);
        state.next_node += 1;
        state.names.insert(newcomer.name.clone(), id);
        let joined = Event::Joined { node: id, facts: newcomer.facts };
        state.scheduler.apply(joined, now);
        state.nodes.insert(
            id,
            Node {
                name: newcomer.name,
                address: newcomer.address,
                out: newcomer.out,
                ready: false,
            },
        );
        id
    }

    /// A node has gone.
    pub fn leave(&self, node: NodeId) {
        let now = self.now();
        self.state().leave(node, now);
        self.inner.work.notify_one();
    }

    /// A node has told all that it holds.
    pub fn ready(&self, node: NodeId) {
        if let Some(node) = self.state().nodes.get_mut(&node) {
            node.ready = true;
        }
    }

    /// How many nodes are connected and have told all that they hold.
    #[must_use]
    pub fn ready_nodes(&self) -> usize {
        self.state().nodes.values().filter(|node| node.ready).count()
    }

    /// A task is known: its cut, and what our own cache holds of it.
    pub fn know(&self, live: &Arc<LiveTask>) {
        let (task, layout, cached) = (live.id(), live.layout(), live.present());
        let now = self.now();
        let mut state = self.state();
        state.attempts.insert(task, live.attempt());
        state.scheduler.apply(Event::Task { task, layout }, now);
        let has = Event::Has { node: NodeId::CACHE, task, pieces: cached };
        state.scheduler.apply(has, now);
        // What was needed before anybody said where it comes from.
        let need = state.needs.get(&task).cloned();
        drop(state);
        if let Some(need) = need {
            self.inner.feeds.need(task, need);
        }
        self.inner.work.notify_one();
    }

    /// A node was granted a task: it may want it for as long as its ticket lives, and is told what
    /// becomes of it.
    pub fn grant(&self, name: &str, task: TaskId) {
        let until = unix_now() + self.inner.ticket_life.as_secs();
        let mut state = self.state();
        if let Some(node) = state.names.get(name).copied() {
            state.grants.entry(task).or_default().insert(node, until);
        }
    }

    /// Forgets grants that have ended.
    pub fn forget_grants(&self) {
        let now = unix_now();
        let mut state = self.state();
        state.grants.retain(|_, nodes| {
            nodes.retain(|_, until| *until > now);
            !nodes.is_empty()
        });
        let State { attempts, scheduler, .. } = &mut *state;
        attempts.retain(|task, _| scheduler.layout(task).is_some());
    }

    /// The counters of what nodes say.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What nodes told of a task that our own cache does not know, as far as this cluster signed it.
    #[must_use]
    pub fn told(&self, task: &TaskId) -> Vec<SignedStatement> {
        self.state().claims.signed(task)
    }

    /// Whether some node, not only the cache, holds pieces of the task.
    #[must_use]
    pub fn is_held_by_nodes(&self, task: &TaskId) -> bool {
        self.state().scheduler.holders(task).iter().any(|node| *node != NodeId::CACHE)
    }

    /// An attempt at a task came to nothing: everybody who waits for it learns why.
    pub fn fail(&self, live: &Arc<LiveTask>, failure: &Failure) {
        let wrong = failure.kind == wire::request::Kind::Mismatch;
        let attempt = live.attempt();
        self.inner.engine.fail_attempt(live, failure.clone(), wrong);
        self.end(live.id(), attempt, failure);
    }

    /// Nobody could say what a task is that nodes wait for.
    pub fn lack(&self, task: TaskId, failure: &Failure) {
        let attempt = self.state().attempts.get(&task).copied().unwrap_or_default();
        self.end(task, attempt, failure);
    }

    fn end(&self, task: TaskId, attempt: u64, failure: &Failure) {
        let message = TaskFailed {
            task: task.to_string(),
            failure: Some(failure.clone().into()),
            drop: failure.kind == wire::request::Kind::Mismatch,
            attempt,
        };
        let now = self.now();
        let mut state = self.state();
        if state.attempts.get(&task).is_some_and(|present| *present != attempt) {
            return; // it has begun again meanwhile
        }
        state.attempts.remove(&task);
        state.scheduler.apply(Event::Forget { task }, now);
        state.needs.remove(&task);
        state.claims.forget(&task);
        state.wanted.forget(&task);
        for node in state.grants.remove(&task).unwrap_or_default().into_keys() {
            state.send(node, SupernodeSays::Failed(message.clone()), now);
        }
        drop(state);
        self.inner.feeds.forget(&task);
    }
}

impl State {
    fn leave(&mut self, id: NodeId, now: u64) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        if self.names.get(&node.name) == Some(&id) {
            self.names.remove(&node.name);
        }
        self.grants.retain(|_, nodes| {
            nodes.remove(&id);
            !nodes.is_empty()
        });
        self.wanted.leave(id);
        self.scheduler.apply(Event::Left { node: id }, now);
    }

    fn name(&self, id: NodeId) -> String {
        self.nodes.get(&id).map_or_else(|| "the cache".into(), |node| node.name.clone())
    }

    /// Sends without waiting: a node whose queue is full does not drain it, and is cut off; if it
    /// lives, it comes again.
    fn send(&mut self, id: NodeId, says: SupernodeSays, now: u64) {
        if let Some(node) = self.nodes.get(&id)
            && node.out.try_send(FromSupernode { says: Some(says) }).is_err()
        {
            tracing::warn!(node = %node.name, "cut off: it does not read what it is told");
            self.leave(id, now);
        }
    }
}

/// The scheduler's priority as the wire has it.
const fn wire_priority(priority: schedule::Priority) -> control::Priority {
    match priority {
        schedule::Priority::Blocked => control::Priority::Blocked,
        schedule::Priority::Pull => control::Priority::Pull,
        schedule::Priority::Prefetch => control::Priority::Prefetch,
        schedule::Priority::Preheat => control::Priority::Preheat,
    }
}

/// The wire's priority as the scheduler has it.
#[must_use]
pub const fn schedule_priority(priority: control::Priority) -> schedule::Priority {
    match priority {
        control::Priority::Blocked => schedule::Priority::Blocked,
        control::Priority::Pull => schedule::Priority::Pull,
        control::Priority::Prefetch => schedule::Priority::Prefetch,
        control::Priority::Preheat => schedule::Priority::Preheat,
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").finish_non_exhaustive()
    }
}
