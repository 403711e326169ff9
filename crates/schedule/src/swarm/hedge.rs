//! What is asked twice: leases that are late, from another parent. The first result wins.

use content::Run;

use crate::decision::LeaseId;
use crate::event::Priority;
use crate::node::NodeKey;
use crate::swarm::Swarm;
use crate::swarm::lease::{Grant, InFlight};

impl Swarm {
    pub(super) fn hedge(&mut self) {
        for id in self.late.clone() {
            if self.free.is_empty() {
                return; // they stay late, and are looked at when a slot is free
            }
            self.hedge_one(id);
        }
    }

    fn hedge_one(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get(&id) else {
            return;
        };
        let (task, node) = (lease.task, lease.node);
        // All of a receiver's leases may be late at once, so they have room beside them.
        let most = self.policy.leases_per_receiver.saturating_mul(2);
        if !self.nodes[node].has_room(most, self.now) {
            return;
        }
        let Some((parent, run)) = self.other_parent(lease) else {
            return;
        };
        let priority = self.tasks[task].pull(node).map_or(Priority::Pull, |pull| pull.priority);
        let twin = self.grant(Grant { task, node, parent, run, priority });
        self.stats.hedged += 1;
        self.stats.twice += u64::from(run.len());
        for (one, other) in [(id, twin), (twin, id)] {
            if let Some(lease) = self.leases.get_mut(&one) {
                lease.twin = Some(other);
            }
            self.watch(one);
        }
    }

    /// Another parent for what is outstanding, and how much of it that one has.
    fn other_parent(&self, lease: &InFlight) -> Option<(NodeKey, Run)> {
        let place = self.nodes[lease.node].place;
        let mut outstanding = self.outstanding(lease);
        // What came, and was lost again, is asked for by another lease already.
        outstanding.retain(|piece| self.leases_of(lease.task, lease.node, *piece) == 1);
        let members = &self.tasks[lease.task].members;
        self.free_near(place)
            .filter(|parent| {
                *parent != lease.parent && self.may_serve(lease.task, *parent, lease.node)
            })
            .filter_map(|parent| {
                let held = &members[&parent].held;
                let has = |piece: &u32| held.get(*piece);
                let first = outstanding.iter().copied().find(has)?;
                let end = (first..lease.run.end)
                    .find(|piece| !held.get(*piece) || !outstanding.contains(piece))
                    .unwrap_or(lease.run.end);
                Some((parent, Run { first, end }))
            })
            .take(self.policy.scan)
            .min_by_key(|(parent, run)| {
                let giver = &self.nodes[*parent];
                (run.first, self.busyness(*parent), giver.place.distance(place), giver.is_cache())
            })
    }
}
