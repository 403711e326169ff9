//! Who is matched with whom.
//!
//! First the source gives what was never sent. Then the scarcer side chooses: parents, those with
//! the fewest choices first, look for the neediest receivers; or receivers, the neediest first,
//! look for the best parents. At the end of a plan no free parent has anything for a receiver with
//! room, so the next plan only looks at those that have changed since.

use std::ops::Bound::Included;

use content::Run;

use crate::choose::{Pick, RunLimit};
use crate::decision::{Decision, LeaseId};
use crate::event::{Millis, NodeId, Priority};
use crate::node::{Node, NodeKey, Place};
use crate::rate::{as_f64, to_u64};
use crate::slab::Key;
use crate::swarm::lease::Grant;
use crate::swarm::{Swarm, mix};
use crate::task::{Hunger, Task, TaskKey};

/// How much longer a lease may take where no other receiver waits for its pieces.
const ALONE: u64 = 16;

/// So many leases share an uplink's horizon: with fewer, a piece waits longer for its neighbours in
/// the same lease before it is passed on; with more, deciding costs more.
const LEASES_ON_AN_UPLINK: u64 = 4;

impl Swarm {
    /// Decides what is to be done now. To be called after a batch of events, and at
    /// [`Self::next_timer`].
    pub fn plan(&mut self, now: Millis) -> Vec<Decision> {
        self.now = self.now.max(now);
        self.wake();
        let parents = self.take_parents();
        let receivers: Vec<_> = std::mem::take(&mut self.dirty_receivers).into_iter().collect();
        for priority in Priority::ALL {
            self.match_at(priority, &parents, &receivers);
        }
        self.hedge();
        self.tell_needs();
        std::mem::take(&mut self.out)
    }

    /// Matches the receivers of one priority: a higher one takes what it can before.
    fn match_at(
        &mut self,
        priority: Priority,
        parents: &[NodeKey],
        receivers: &[(TaskKey, NodeKey)],
    ) {
        let scarce: Vec<_> = self.hungry(priority).take(parents.len().max(1)).collect();
        if scarce.is_empty() {
            return;
        }
        self.served.clear();
        self.source_first(priority);
        if scarce.len() < parents.len() {
            self.ask(scarce, priority);
        }
        self.offer(parents.to_vec(), priority);
        let served = std::mem::take(&mut self.served);
        self.ask(receivers.iter().copied().chain(served), priority);
    }

    /// The cache gives what was never sent to anybody, before it gives anything else.
    fn source_first(&mut self, priority: Priority) {
        let Some(cache) = self.node_keys.get(&NodeId::CACHE).copied() else {
            return;
        };
        while self.nodes[cache].is_free(self.now) && self.serve(cache, priority, true) {}
    }

    /// Parents that have changed and have a slot, those with the fewest choices first.
    fn take_parents(&mut self) -> Vec<NodeKey> {
        let mut parents: Vec<_> = std::mem::take(&mut self.dirty_parents)
            .into_iter()
            .filter(|parent| self.nodes[*parent].is_free(self.now))
            .map(|parent| (self.choices(parent), parent))
            .filter(|(choices, _)| *choices > 0)
            // Among equals, in an order that favours nobody for ever.
            .map(|(choices, parent)| {
                (choices, mix(self.next_lease ^ u64::from(parent.number())), parent)
            })
            .collect();
        parents.sort_unstable();
        parents.into_iter().map(|(_, _, parent)| parent).collect()
    }

    /// How many pieces a node has that somebody could ask for.
    fn choices(&self, parent: NodeKey) -> u32 {
        self.active_tasks(parent)
            .map(|task| {
                let task = &self.tasks[task];
                task.open_bits.overlap(&task.members[&parent].held)
            })
            .sum()
    }

    /// The tasks with hungry receivers of which a node could serve something.
    fn active_tasks(&self, parent: NodeKey) -> impl Iterator<Item = TaskKey> {
        let own = &self.nodes[parent].tasks;
        // Whichever list is shorter: a node may hold thousands of tasks, of which few are active.
        let few_own = own.len() < self.active.len();
        let from_own = own.iter().copied().filter(move |_| few_own);
        let from_active = self.active.iter().copied().filter(move |_| !few_own);
        from_own.chain(from_active).filter(move |task| {
            let task = &self.tasks[*task];
            let member = task.members.get(&parent);
            !task.hungry.is_empty() && member.is_some_and(|m| m.is_usable() && m.held_count > 0)
        })
    }

    /// Whether a parent keeps its uplink for what was never sent: the cache, while more of the task
    /// comes from the origin. What it sent twice now, the new pieces would wait for.
    pub(super) fn is_reserved(&self, task: TaskKey, parent: NodeKey) -> bool {
        let node = &self.nodes[parent];
        let more_comes = || self.tasks[task].needed.first_at(0).is_some();
        node.is_cache() && node.uploads.len() >= 2 && more_comes()
    }

    /// Parents look for receivers: one lease each in turn, until nobody finds anything.
    fn offer(&mut self, mut parents: Vec<NodeKey>, priority: Priority) {
        while !parents.is_empty() {
            parents.retain(|parent| {
                self.nodes[*parent].is_free(self.now)
                    && self.serve(*parent, priority, false)
                    && self.nodes[*parent].is_free(self.now)
            });
        }
    }

    /// One lease from this parent to whom it helps most, if there is one.
    fn serve(&mut self, parent: NodeKey, priority: Priority, fresh: bool) -> bool {
        let mut tasks: Vec<_> = self.active_tasks(parent).collect();
        if fresh {
            tasks.retain(|task| {
                self.tasks[*task].has_fresh(&self.tasks[*task].members[&parent].held)
            });
        } else {
            tasks.retain(|task| !self.is_reserved(*task, parent));
        }
        // The task with the fewest leases first, so that a small one need not wait for a big one.
        tasks.sort_unstable_by_key(|task| (self.tasks[*task].leases, *task));
        for task in tasks {
            if let Some((pick, node)) = self.best_receiver(parent, task, priority, fresh) {
                self.give(task, node, parent, pick, fresh);
                return true;
            }
        }
        false
    }

    /// Of the neediest receivers for whom the parent has something, the one that gets the rarest
    /// piece.
    fn best_receiver(
        &self,
        parent: NodeKey,
        task: TaskKey,
        priority: Priority,
        fresh: bool,
    ) -> Option<(Pick, NodeKey)> {
        let state = &self.tasks[task];
        let held = &state.members[&parent].held;
        let giver = &self.nodes[parent];
        hungry_at(state, priority)
            .filter(|node| *node != parent)
            .filter_map(|node| {
                let receiver = &self.nodes[node];
                let pick = state.pick(held, state.pull(node)?, fresh, &self.policy)?;
                let spread = if fresh { self.slowness(receiver) } else { 0 };
                let distance = giver.place.distance(receiver.place);
                let avoided = receiver.avoids(giver.id, self.now);
                (!avoided).then_some(((pick.rank, spread, distance), pick, node))
            })
            .take(self.policy.scan)
            .min_by_key(|(score, _, _)| *score)
            .map(|(_, pick, node)| (pick, node))
    }

    /// How badly a node would spread a piece that few have.
    fn slowness(&self, node: &Node) -> u8 {
        let (Some(own), Some(typical)) = (node.rate.get(), self.typical.get()) else {
            return u8::from(!node.can_serve) * 2;
        };
        match (node.can_serve, own * 2.0 >= typical) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// Receivers look for parents: one lease each in turn, the neediest first.
    fn ask(&mut self, receivers: impl IntoIterator<Item = (TaskKey, NodeKey)>, priority: Priority) {
        let mut hungry: Vec<_> = receivers
            .into_iter()
            .filter_map(|(task, node)| Some((self.hunger(task, node)?, task)))
            .filter(|(hunger, _)| hunger.priority == priority)
            .collect();
        hungry.sort_unstable();
        hungry.dedup();
        while !hungry.is_empty() {
            hungry.retain(|(hunger, task)| self.feed(*task, hunger.node));
        }
    }

    /// The receivers of one priority, of all tasks.
    fn hungry(&self, priority: Priority) -> impl Iterator<Item = (TaskKey, NodeKey)> {
        self.active.iter().flat_map(move |task| {
            let nodes = hungry_at(&self.tasks[*task], priority);
            nodes.map(|node| (*task, node))
        })
    }

    fn hunger(&self, task: TaskKey, node: NodeKey) -> Option<Hunger> {
        self.tasks.get(task)?.pull(node)?.hunger
    }

    /// One lease for this receiver from the parent that serves it best, if there is one. Says
    /// whether to try again.
    fn feed(&mut self, task: TaskKey, node: NodeKey) -> bool {
        let Some(hunger) = self.hunger(task, node) else {
            return false;
        };
        let members = &self.tasks[task].members;
        let best = if members.len() < self.free.len() {
            let mut near: Vec<_> = members.keys().copied().collect();
            near.retain(|parent| self.nodes[*parent].is_free(self.now));
            near.sort_unstable();
            self.best_parent(task, node, near.into_iter())
        } else {
            self.best_parent(task, node, self.free_near(self.nodes[node].place))
        };
        match best {
            Some((pick, parent)) => {
                self.give(task, node, parent, pick, false);
                self.hunger(task, node).is_some()
            }
            None if hunger.priority == Priority::Blocked => {
                self.squeeze_in(task, node, self.policy.blocked_extra)
            }
            None if self.is_starving(node) => self.squeeze_in(task, node, 0),
            None => false,
        }
    }

    /// A blocked read, and a receiver that has starved, takes a slot of a parent that is full, up to
    /// `extra` beyond all its slots: who starves shows that the parent could perhaps do more.
    fn squeeze_in(&mut self, task: TaskKey, node: NodeKey, extra: u32) -> bool {
        let mut parents: Vec<_> = self.tasks[task].members.keys().copied().collect();
        parents.retain(|parent| self.nodes[*parent].has_slot(extra, self.now));
        parents.sort_unstable();
        let best = self.best_parent(task, node, parents.into_iter());
        if let Some((pick, parent)) = best {
            let lease = self.give(task, node, parent, pick, false);
            let bytes = lease.map_or(0, |lease| self.leases[&lease].left);
            self.nodes[parent].uplink.allow(bytes);
        }
        best.is_some()
    }

    /// Whether a receiver has had nothing under way for so long that it may overload a parent.
    fn is_starving(&self, node: NodeKey) -> bool {
        let node = &self.nodes[node];
        node.downloads.is_empty()
            && self.now >= node.idle_since.saturating_add(self.policy.patience)
    }

    /// Of the first parents that have something for the receiver, the one with the rarest piece;
    /// among equals the one with the most free capacity, then the nearest, and the cache last.
    fn best_parent(
        &self,
        task: TaskKey,
        node: NodeKey,
        parents: impl Iterator<Item = NodeKey>,
    ) -> Option<(Pick, NodeKey)> {
        let state = &self.tasks[task];
        let pull = state.pull(node)?;
        let place = self.nodes[node].place;
        parents
            .filter(|parent| self.may_serve(task, *parent, node))
            .filter(|parent| !self.is_reserved(task, *parent))
            .filter_map(|parent| {
                let pick = state.pick(&state.members[&parent].held, pull, false, &self.policy)?;
                Some((pick, parent))
            })
            .take(self.policy.scan)
            .min_by_key(|(pick, parent)| {
                let giver = &self.nodes[*parent];
                (pick.rank, self.busyness(*parent), giver.place.distance(place), giver.is_cache())
            })
    }

    /// Whether `parent` is to be considered for `node` at all.
    pub(super) fn may_serve(&self, task: TaskKey, parent: NodeKey, node: NodeKey) -> bool {
        let member = self.tasks[task].members.get(&parent);
        parent != node
            && member.is_some_and(|member| member.is_usable() && member.held_count > 0)
            && !self.nodes[node].avoids(self.nodes[parent].id, self.now)
    }

    /// How long a parent has to do, in coarse steps, so that nearness counts among parents of about
    /// the same.
    pub(super) fn busyness(&self, parent: NodeKey) -> u32 {
        let backlog = self.nodes[parent].uplink.backlog();
        let wait = as_f64(backlog) / self.uplink_of(parent);
        u64::BITS - to_u64(wait).leading_zeros()
    }

    /// Nodes with a free slot, the nearest first.
    pub(super) fn free_near(&self, place: Place) -> impl Iterator<Item = NodeKey> {
        let bounds =
            |from: Place, to: Place| (Included((from, Key::MIN)), Included((to, Key::MAX)));
        let zone = |rack| Place { rack, ..place };
        let same_rack = self.free.range(bounds(place, place));
        let same_zone = self.free.range(bounds(zone(0), zone(u64::MAX)));
        let same_zone = same_zone.filter(move |(other, _)| other.distance(place) == 1);
        let elsewhere = self.free.iter().filter(move |(other, _)| other.distance(place) == 2);
        same_rack.chain(same_zone).chain(elsewhere).map(|(_, node)| *node)
    }

    fn give(
        &mut self,
        task: TaskKey,
        node: NodeKey,
        parent: NodeKey,
        pick: Pick,
        fresh: bool,
    ) -> Option<LeaseId> {
        let state = &self.tasks[task];
        let pull = state.pull(node)?;
        let target = self.horizon_of(parent) * if state.receivers <= 1 { ALONE } else { 1 };
        let bytes = to_u64(self.uplink_of(parent) * as_f64(target)) / LEASES_ON_AN_UPLINK;
        let limit = RunLimit { fresh, bytes };
        let held = &state.members[&parent].held;
        let run: Run = state.run_from(pick, held, pull, limit, &self.policy);
        let priority = pull.priority;
        Some(self.grant(Grant { task, node, parent, run, priority }))
    }
}

/// The receivers of one priority, the neediest first.
fn hungry_at(task: &Task, priority: Priority) -> impl Iterator<Item = NodeKey> {
    let bound = |need, node| Hunger { priority, need: std::cmp::Reverse(need), node };
    let range = bound(u32::MAX, Key::MIN)..=bound(0, Key::MAX);
    task.hungry.range(range).map(|hunger| hunger.node)
}
