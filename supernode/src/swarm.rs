//! The scheduler's one owner: events of nodes and of the origin go in, leases go out.
//!
//! `schedule::Swarm` decides; this folder knows the clock, the names behind the numbers, and where a
//! decision is sent. Events are applied as they come, under a lock held for microseconds; one
//! planner task turns batches of them into decisions.
//!
//! `nodes` come and go, `tasks` become known, are granted and end; `hear` has what nodes say,
//! `say` what we say, `act` what the scheduler decided.

mod act;
mod claims;
mod hear;
mod nodes;
mod priority;
mod say;
mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use content::{Signer, TaskId};
use peer::feed::{Feeds, Need};
use peer::serve::unix_now;
use peer::{End, Engine};
use schedule::{Event, NodeFacts, NodeId, Swarm as Scheduler};
use tokio::sync::{Notify, watch};

use crate::counters::Counters;
use crate::wanted::Wanted;
use claims::Claims;
use nodes::Node;

pub use hear::Claim;
pub use nodes::Newcomer;
pub use priority::schedule_priority;

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
    /// The present attempt at each task.
    attempts: HashMap<TaskId, Attempt>,
    wanted: Wanted,
}

/// One attempt at a task.
struct Attempt {
    /// [`peer::LiveTask::attempt`]
    number: u64,
    end: watch::Receiver<End>,
}

impl Attempt {
    /// Whether it has failed already, and those who wait are about to be told.
    fn has_failed(&self) -> bool {
        matches!(*self.end.borrow(), End::Failed(_))
    }
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

    /// The counters of what nodes say.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").finish_non_exhaustive()
    }
}
