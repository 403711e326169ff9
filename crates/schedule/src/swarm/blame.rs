//! Whose fault it was: who is avoided, set aside or left alone from now on.

use content::PieceIndex;

use crate::decision::Decision;
use crate::event::Millis;
use crate::node::NodeKey;
use crate::swarm::Swarm;
use crate::swarm::timer::Wake;
use crate::task::TaskKey;

/// How many receivers in a row must fail to reach a parent before it rests for all.
const UNREACHED: u32 = 3;
/// How often a node may claim what it has not, before it is set aside for the task.
const MISSES: u8 = 3;

impl Swarm {
    /// Wrong bytes: nobody takes this task from that parent any more. But a receiver that says so
    /// of one parent after the other is believed for itself only, or it could silence the swarm.
    pub(super) fn blame_bytes(
        &mut self,
        task: TaskKey,
        node: NodeKey,
        parent: NodeKey,
        missed: &[PieceIndex],
    ) {
        if !self.doubt(task, node, parent, missed) {
            return;
        }
        let accused = self.tasks[task].members.get_mut(&node).map(|m| {
            m.accused = m.accused.saturating_add(1);
            m.accused
        });
        if accused.is_none_or(|accused| accused <= self.policy.accusations) {
            self.set_aside(task, parent);
        }
    }

    pub(super) fn blame_claim(
        &mut self,
        task: TaskKey,
        node: NodeKey,
        parent: NodeKey,
        missed: &[PieceIndex],
    ) {
        if !self.doubt(task, node, parent, missed) {
            return;
        }
        let misses = self.tasks[task].members.get_mut(&parent).map(|m| {
            m.misses = m.misses.saturating_add(1);
            m.misses
        });
        if misses.is_some_and(|misses| misses >= MISSES) {
            self.set_aside(task, parent);
        }
    }

    /// The parent is no longer thought to have the pieces, and the receiver goes elsewhere. Says
    /// whether more may come of it: the cache is the way from the origin, and the dropped claim makes
    /// it read anew.
    fn doubt(
        &mut self,
        task: TaskKey,
        node: NodeKey,
        parent: NodeKey,
        missed: &[PieceIndex],
    ) -> bool {
        self.unclaim(task, parent, missed);
        self.avoid(node, parent);
        !self.nodes[parent].is_cache()
    }

    fn unclaim(&mut self, task: TaskKey, parent: NodeKey, missed: &[PieceIndex]) {
        for piece in missed {
            self.tasks[task].lose(parent, *piece);
        }
        if self.tasks[task].pull(parent).is_some() {
            self.settle_pull(task, parent);
            self.dirty_receivers.insert((task, parent));
        }
        self.dirty_needs.insert(task);
    }

    pub(super) fn blame_reach(&mut self, node: NodeKey, parent: NodeKey) {
        self.avoid(node, parent);
        let accuser = Some(self.nodes[node].id);
        let (last, row) = self.nodes[parent].unreached;
        if last != accuser {
            // The same receiver again says nothing new.
            self.nodes[parent].unreached = (accuser, row + 1);
        }
        if row + 1 >= UNREACHED && !self.nodes[parent].is_cache() {
            self.rest(parent, self.policy.rest);
        }
    }

    pub(super) fn set_aside(&mut self, task: TaskKey, parent: NodeKey) {
        let state = &mut self.tasks[task];
        let Some(member) = state.members.get(&parent) else {
            return;
        };
        if member.aside_until.is_some() {
            return;
        }
        let until = self.now.saturating_add(self.policy.set_aside);
        let can_serve = member.can_serve;
        state.set_usable(parent, can_serve, Some(until));
        self.timers.insert((until, Wake::Aside(task, parent)));
        self.out.push(Decision::SetAside { node: self.nodes[parent].id, task: state.id });
        // What it is sending to others is as little worth.
        for id in self.nodes[parent].uploads.clone() {
            if self.leases.get(&id).is_some_and(|lease| lease.task == task) {
                self.cancel(id);
            }
        }
        self.dirty_needs.insert(task);
    }

    /// `node` does not use `parent` for a while.
    pub(super) fn avoid(&mut self, node: NodeKey, parent: NodeKey) {
        let time =
            if self.nodes[parent].is_cache() { self.policy.avoid_cache } else { self.policy.avoid };
        let until = self.now.saturating_add(time);
        let parent = self.nodes[parent].id;
        self.nodes[node].avoid(parent, until, self.now);
        self.avoiders.insert(node);
        self.timers.insert((until, Wake::Node(node)));
        self.dirty_needs.extend(self.pulls_of(node));
    }

    /// `parent` serves nobody for a while.
    pub(super) fn rest(&mut self, parent: NodeKey, time: Millis) {
        let until = self.now.saturating_add(time);
        let node = &mut self.nodes[parent];
        node.rests_until = node.rests_until.max(until);
        self.settle_parent(parent);
        self.timers.insert((until, Wake::Node(parent)));
    }

    /// `node` gets nothing for a while.
    pub(super) fn mute(&mut self, node: NodeKey, time: Millis) {
        let until = self.now.saturating_add(time);
        let entry = &mut self.nodes[node];
        entry.mute_until = entry.mute_until.max(until);
        self.settle_receiver(node);
        self.timers.insert((until, Wake::Node(node)));
    }
}
