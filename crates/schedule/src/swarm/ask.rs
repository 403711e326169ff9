//! Receivers look for parents.

use std::ops::Bound::Included;

use crate::choose::{Pick, RunLimit, Which};
use crate::decision::LeaseId;
use crate::event::Priority;
use crate::node::{NodeKey, Place};
use crate::rate::{as_f64, to_u64};
use crate::slab::Key;
use crate::swarm::Swarm;
use crate::swarm::lease::Grant;
use crate::task::TaskKey;

/// How much longer a lease may take where no other receiver waits for its pieces.
const ALONE: u64 = 16;

/// So many leases share an uplink's horizon: with fewer, a piece waits longer for its neighbours in
/// the same lease before it is passed on; with more, deciding costs more.
const LEASES_ON_AN_UPLINK: u64 = 4;

impl Swarm {
    /// Receivers look for parents: one lease each in turn, the neediest first.
    pub(super) fn ask(
        &mut self,
        receivers: impl IntoIterator<Item = (TaskKey, NodeKey)>,
        priority: Priority,
    ) {
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
                self.give(task, node, parent, pick, Which::Any);
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
            let lease = self.give(task, node, parent, pick, Which::Any);
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
                let pick =
                    state.pick(&state.members[&parent].held, pull, Which::Any, &self.policy)?;
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

    pub(super) fn give(
        &mut self,
        task: TaskKey,
        node: NodeKey,
        parent: NodeKey,
        pick: Pick,
        which: Which,
    ) -> Option<LeaseId> {
        let state = &self.tasks[task];
        let pull = state.pull(node)?;
        let target = self.horizon_of(parent) * if state.receivers <= 1 { ALONE } else { 1 };
        let bytes = to_u64(self.uplink_of(parent) * as_f64(target)) / LEASES_ON_AN_UPLINK;
        let limit = RunLimit { which, bytes };
        let held = &state.members[&parent].held;
        let run = state.run_from(pick, held, pull, limit, &self.policy);
        let priority = pull.priority;
        Some(self.grant(Grant { task, node, parent, run, priority }))
    }
}
