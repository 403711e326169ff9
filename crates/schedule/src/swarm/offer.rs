//! Parents look for receivers.

use crate::choose::{Pick, Which};
use crate::event::{NodeId, Priority};
use crate::node::{Node, NodeKey};
use crate::swarm::Swarm;
use crate::swarm::plan::hungry_at;
use crate::task::TaskKey;

impl Swarm {
    /// The cache gives what was never sent to anybody, before it gives anything else.
    pub(super) fn source_first(&mut self, priority: Priority) {
        let Some(cache) = self.node_keys.get(&NodeId::CACHE).copied() else {
            return;
        };
        while self.nodes[cache].is_free(self.now) && self.serve(cache, priority, Which::NeverSent) {
        }
    }

    /// Parents look for receivers: one lease each in turn, until nobody finds anything.
    pub(super) fn offer(&mut self, mut parents: Vec<NodeKey>, priority: Priority) {
        while !parents.is_empty() {
            parents.retain(|parent| {
                self.nodes[*parent].is_free(self.now)
                    && self.serve(*parent, priority, Which::Any)
                    && self.nodes[*parent].is_free(self.now)
            });
        }
    }

    /// One lease from this parent to whom it helps most, if there is one.
    fn serve(&mut self, parent: NodeKey, priority: Priority, which: Which) -> bool {
        let mut tasks: Vec<_> = self.active_tasks(parent).collect();
        tasks.retain(|task| match which {
            Which::NeverSent => {
                self.tasks[*task].has_unsent(&self.tasks[*task].members[&parent].held)
            }
            Which::Any => !self.is_reserved(*task, parent),
        });
        // The task with the fewest leases first, so that a small one need not wait for a big one.
        tasks.sort_unstable_by_key(|task| (self.tasks[*task].leases, *task));
        for task in tasks {
            if let Some((pick, node)) = self.best_receiver(parent, task, priority, which) {
                self.give(task, node, parent, pick, which);
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
        which: Which,
    ) -> Option<(Pick, NodeKey)> {
        let state = &self.tasks[task];
        let held = &state.members[&parent].held;
        let giver = &self.nodes[parent];
        hungry_at(state, priority)
            .filter(|node| *node != parent)
            .filter_map(|node| {
                let receiver = &self.nodes[node];
                let pick = state.pick(held, state.pull(node)?, which, &self.policy)?;
                let spread = match which {
                    Which::NeverSent => self.slowness(receiver),
                    Which::Any => 0,
                };
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
        let (Some(own), Some(typical)) = (node.uplink.rate(), self.usual_uplink.get()) else {
            return u8::from(!node.can_serve) * 2;
        };
        match (node.can_serve, own * 2.0 >= typical) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// Whether a parent keeps its uplink for what was never sent: the cache, while more of the task
    /// comes from the origin. What it sent twice now, the new pieces would wait for.
    pub(super) fn is_reserved(&self, task: TaskKey, parent: NodeKey) -> bool {
        let node = &self.nodes[parent];
        let more_comes = || self.tasks[task].needed.first_at(0).is_some();
        node.is_cache() && node.uploads.len() >= 2 && more_comes()
    }
}
