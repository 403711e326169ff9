//! Who is matched with whom.
//!
//! First the source gives what was never sent. Then the scarcer side chooses: parents, those with
//! the fewest choices first, look for the neediest receivers (`offer`); or receivers, the neediest
//! first, look for the best parents (`ask`). At the end of a plan no free parent has anything for a
//! receiver with room, so the next plan only looks at those that have changed since.

use crate::decision::Decision;
use crate::event::{Millis, Priority};
use crate::node::NodeKey;
use crate::slab::Key;
use crate::swarm::{Swarm, mix};
use crate::task::{Hunger, Task, TaskKey};

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
    pub(super) fn active_tasks(&self, parent: NodeKey) -> impl Iterator<Item = TaskKey> {
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

    /// The receivers of one priority, of all tasks.
    fn hungry(&self, priority: Priority) -> impl Iterator<Item = (TaskKey, NodeKey)> {
        self.active.iter().flat_map(move |task| {
            let nodes = hungry_at(&self.tasks[*task], priority);
            nodes.map(|node| (*task, node))
        })
    }

    pub(super) fn hunger(&self, task: TaskKey, node: NodeKey) -> Option<Hunger> {
        self.tasks.get(task)?.pull(node)?.hunger
    }
}

/// The receivers of one priority, the neediest first.
pub(super) fn hungry_at(task: &Task, priority: Priority) -> impl Iterator<Item = NodeKey> {
    let bound = |need, node| Hunger { priority, need: std::cmp::Reverse(need), node };
    let range = bound(u32::MAX, Key::MIN)..=bound(0, Key::MAX);
    task.hungry.range(range).map(|hunger| hunger.node)
}
