//! All tasks and nodes, the leases between them, and what is to be looked at in the next plan.
//!
//! - [`apply`](Swarm::apply): events change the state (`apply`, `outcome`);
//! - [`plan`](Swarm::plan): decisions (`plan`, `offer`, `ask`: who is matched with whom; `hedge`:
//!   what is asked twice; `need`: what the origin is asked for);
//! - `lease`, `outcome`, `blame`, `past`: the beginning and the end of a lease, whose fault it was,
//!   and what is said after it;
//! - `timer`: what happens by itself.

mod apply;
mod ask;
#[cfg(test)]
mod audit;
mod blame;
mod hedge;
mod lease;
mod need;
mod offer;
mod outcome;
mod past;
mod plan;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod timer;

use std::collections::{BTreeSet, HashMap};

use content::TaskId;

use crate::decision::{Decision, LeaseId};
use crate::event::{Millis, NodeId, Want};
use crate::node::{Node, NodeKey, Place};
use crate::policy::Policy;
use crate::rate::{Pace, Rate, to_u64};
use crate::slab::Slab;
use crate::task::{Task, TaskKey};
use lease::InFlight;
use snapshot::Stats;
use timer::Wake;

/// The scheduler of a whole cluster.
///
/// Its cost follows what changed since the last plan: only parents that got a slot or a piece, and
/// receivers that got room or a want, are matched again.
pub struct Swarm {
    policy: Policy,
    now: Millis,
    tasks: Slab<Task>,
    task_keys: HashMap<TaskId, TaskKey>,
    nodes: Slab<Node>,
    node_keys: HashMap<NodeId, NodeKey>,
    /// Wants of tasks that are not known yet.
    early: HashMap<TaskId, HashMap<NodeId, Want>>,
    leases: HashMap<LeaseId, InFlight>,
    past: past::Past,
    next_lease: u64,
    /// Nodes with a free upload slot, by place.
    free: BTreeSet<(Place, NodeKey)>,
    /// Tasks with hungry receivers.
    active: BTreeSet<TaskKey>,
    /// Parents that got a slot or a piece since the last plan.
    dirty_parents: BTreeSet<NodeKey>,
    /// Receivers that got room or something to ask for since the last plan.
    dirty_receivers: BTreeSet<(TaskKey, NodeKey)>,
    /// Receivers that were given something in this plan, and could take more.
    served: Vec<(TaskKey, NodeKey)>,
    /// Tasks whose need may have changed.
    dirty_needs: BTreeSet<TaskKey>,
    /// Receivers that avoid some parent.
    avoiders: BTreeSet<NodeKey>,
    /// Leases that should be asked twice.
    late: BTreeSet<LeaseId>,
    timers: BTreeSet<(Millis, Wake)>,
    /// What a lease usually gets in this swarm.
    typical: Rate,
    /// What an uplink usually carries.
    usual_uplink: Rate,
    /// How long a lease usually takes that need not wait.
    usual_pace: Pace,
    /// Decisions that were made while events were applied.
    out: Vec<Decision>,
    stats: Stats,
}

impl Swarm {
    /// An empty swarm. Equal seeds, events and times make equal decisions. Take another seed for
    /// each start (the time will do): lease numbers begin there, so that what nodes still say of
    /// leases of a former life names no lease of this one.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            now: 0,
            tasks: Slab::new(),
            task_keys: HashMap::new(),
            nodes: Slab::new(),
            node_keys: HashMap::new(),
            early: HashMap::new(),
            leases: HashMap::new(),
            past: past::Past::default(),
            next_lease: (mix(seed) << 40) | 1,
            free: BTreeSet::new(),
            active: BTreeSet::new(),
            dirty_parents: BTreeSet::new(),
            dirty_receivers: BTreeSet::new(),
            served: Vec::new(),
            dirty_needs: BTreeSet::new(),
            avoiders: BTreeSet::new(),
            late: BTreeSet::new(),
            timers: BTreeSet::new(),
            typical: Rate::default(),
            usual_uplink: Rate::default(),
            usual_pace: Pace::default(),
            out: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Who holds pieces of a task, set aside or not, in order.
    #[must_use]
    pub fn holders(&self, task: &TaskId) -> Vec<NodeId> {
        let Some(key) = self.task_keys.get(task) else {
            return Vec::new();
        };
        let members = self.tasks[*key].members.iter();
        let mut holders: Vec<_> = members
            .filter(|(_, member)| member.held_count > 0)
            .map(|(node, _)| self.nodes[*node].id)
            .collect();
        holders.sort_unstable();
        holders
    }

    /// The receiver of a lease that is in flight or was taken back a moment ago: only from it
    /// should its end be believed.
    #[must_use]
    pub fn receiver_of(&self, lease: LeaseId) -> Option<NodeId> {
        let in_flight = self.leases.get(&lease).map(|lease| self.nodes[lease.node].id);
        in_flight.or_else(|| self.past.receiver_of(lease))
    }

    /// A task's cut, if it is known.
    #[must_use]
    pub fn layout(&self, task: &TaskId) -> Option<content::Layout> {
        self.task_keys.get(task).map(|key| self.tasks[*key].layout)
    }

    /// Whether something happened since the last plan.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !(self.dirty_parents.is_empty()
            && self.dirty_receivers.is_empty()
            && self.dirty_needs.is_empty()
            && self.out.is_empty())
    }

    /// Works out anew whether a node has a free slot.
    fn settle_parent(&mut self, key: NodeKey) {
        let (rate, horizon) = (self.uplink_of(key), self.horizon_of(key));
        let node = &mut self.nodes[key];
        node.uplink.set_limit(rate, horizon);
        node.compare(self.usual_uplink.get());
        let entry = (node.place, key);
        if node.is_free(self.now) {
            self.free.insert(entry);
        } else {
            self.free.remove(&entry);
        }
    }

    /// A node may be able to give more than at the last plan.
    fn touch_parent(&mut self, key: NodeKey) {
        self.settle_parent(key);
        self.dirty_parents.insert(key);
    }

    /// A node may be able to take more than at the last plan.
    fn touch_receiver(&mut self, key: NodeKey) {
        for task in self.pulls_of(key) {
            self.settle_pull(task, key);
            self.dirty_receivers.insert((task, key));
        }
    }

    /// Works out anew what a receiver could take of a task.
    fn settle_pull(&mut self, task: TaskKey, key: NodeKey) {
        let (rate, horizon) = (self.uplink_of(key), self.horizon_of(key));
        let node = &mut self.nodes[key];
        // Twice what an uplink needs: several of them send to it, and not in step.
        node.downlink.set_limit(rate, 2 * horizon);
        let room = |extra| node.has_room(self.policy.leases_per_receiver + extra, self.now);
        let (room, blocked_room) = (room(0) && !node.is_sated(), room(self.policy.blocked_extra));
        let state = &mut self.tasks[task];
        let blocked = state.pull(key).is_some_and(|pull| pull.priority == crate::Priority::Blocked);
        let room = if blocked { blocked_room } else { room };
        state.settle(key, room, self.policy.window);
        if state.hungry.is_empty() {
            self.active.remove(&task);
        } else {
            self.active.insert(task);
        }
    }

    /// The same for all that a node wants.
    fn settle_receiver(&mut self, key: NodeKey) {
        for task in self.pulls_of(key) {
            self.settle_pull(task, key);
        }
    }

    /// The tasks of which a node wants something.
    fn pulls_of(&self, key: NodeKey) -> Vec<TaskKey> {
        let tasks = self.nodes[key].tasks.iter().copied();
        tasks.filter(|task| self.tasks[*task].pull(key).is_some()).collect()
    }

    /// The bytes per millisecond that this parent's uplink carries.
    fn uplink_of(&self, parent: NodeKey) -> f64 {
        let known = self.nodes[parent].uplink.rate().or_else(|| self.usual_uplink.get());
        known.unwrap_or(self.policy.assumed_uplink)
    }

    /// For how long a parent's uplink is given work: a few times what one lease takes.
    fn horizon_of(&self, parent: NodeKey) -> Millis {
        let known = self.nodes[parent].uplink.pace().or_else(|| self.usual_pace.get());
        let horizon = to_u64(known.unwrap_or(0.0) * self.policy.ahead);
        horizon.clamp(self.policy.min_horizon, self.policy.max_horizon)
    }

    /// The bytes per millisecond that a lease from this parent gets.
    fn rate_of(&self, parent: NodeKey) -> f64 {
        let known = self.nodes[parent].rate.get().or_else(|| self.typical.get());
        known.unwrap_or(self.policy.assumed_rate)
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm")
            .field("nodes", &self.node_keys.len())
            .field("tasks", &self.task_keys.len())
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}

/// SplitMix64's finisher: neighbouring seeds become unrelated numbers.
const fn mix(seed: u64) -> u64 {
    let a = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}
