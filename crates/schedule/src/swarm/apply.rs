//! What events do to the state.

use content::{Layout, PieceSet, TaskId};

use crate::event::{Event, Millis, NodeFacts, NodeId, Want};
use crate::node::{Node, NodeKey};
use crate::swarm::Swarm;
use crate::task::{Task, TaskKey};

impl Swarm {
    /// Takes an event in. Nothing is decided before the next [`Self::plan`].
    pub fn apply(&mut self, event: Event, now: Millis) {
        self.now = self.now.max(now);
        match event {
            Event::Joined { node, facts } => self.joined(node, &facts),
            Event::Left { node } => self.left(node),
            Event::Task { task, layout } => self.known(task, layout),
            Event::Forget { task } => self.forget(task),
            Event::Wants { node, want } => self.wants(node, want),
            Event::Unwants { node, task } => self.unwants(node, task),
            Event::Has { node, task, pieces } => self.has(node, task, &pieces),
            Event::Lost { node, task, pieces } => self.lost(node, task, &pieces),
            Event::Done { lease, pieces, bytes, millis } => {
                self.done(lease, &pieces, bytes, millis)
            }
            Event::Failed { lease, got, blame } => self.failed(lease, &got, blame),
        }
    }

    fn joined(&mut self, id: NodeId, facts: &NodeFacts) {
        let Some(key) = self.node_keys.get(&id).copied() else {
            let key = self.nodes.insert(Node::new(id, facts, &self.policy));
            self.node_keys.insert(id, key);
            self.touch_parent(key);
            return;
        };
        // The entry of the free stands under the place that it had.
        self.free.remove(&(self.nodes[key].place, key));
        self.nodes[key].learn_facts(facts, &self.policy);
        for task in self.nodes[key].tasks.clone() {
            let state = &mut self.tasks[task];
            let aside = state.members.get(&key).and_then(|member| member.aside_until);
            state.set_usable(key, facts.can_serve, aside);
            self.dirty_needs.insert(task);
        }
        self.touch_parent(key);
    }

    fn left(&mut self, id: NodeId) {
        let Some(key) = self.node_keys.remove(&id) else {
            return;
        };
        for lease in self.nodes[key].uploads.clone() {
            self.cancel(lease);
        }
        for lease in self.nodes[key].downloads.clone() {
            self.end(lease);
        }
        for task in self.nodes[key].tasks.clone() {
            self.tasks[task].leave(key);
            self.settle_active(task);
            self.dirty_needs.insert(task);
            self.dirty_receivers.remove(&(task, key));
        }
        self.early.retain(|_, wants| {
            wants.remove(&id);
            !wants.is_empty()
        });
        self.free.remove(&(self.nodes[key].place, key));
        self.dirty_parents.remove(&key);
        self.avoiders.remove(&key);
        self.nodes.remove(key);
    }

    fn known(&mut self, id: TaskId, layout: Layout) {
        if self.task_keys.contains_key(&id) {
            return;
        }
        let key = self.tasks.insert(Task::new(id, layout));
        self.task_keys.insert(id, key);
        let mut wants: Vec<_> = self.early.remove(&id).into_iter().flatten().collect();
        wants.sort_unstable_by_key(|(node, _)| *node);
        for (node, want) in wants {
            if let Some(node) = self.node_keys.get(&node) {
                let early = &mut self.nodes[*node].early;
                *early = early.saturating_sub(1);
            }
            self.wants(node, want);
        }
    }

    fn forget(&mut self, id: TaskId) {
        for node in self.early.remove(&id).into_iter().flatten() {
            if let Some(key) = self.node_keys.get(&node.0) {
                self.nodes[*key].early -= 1;
            }
        }
        let Some(key) = self.task_keys.remove(&id) else {
            return;
        };
        let mut members: Vec<_> = self.tasks[key].members.keys().copied().collect();
        members.sort_unstable();
        for node in members {
            for lease in self.downloads_of(key, node) {
                self.cancel(lease);
            }
            self.nodes[node].tasks.retain(|task| *task != key);
            self.dirty_receivers.remove(&(key, node));
        }
        self.active.remove(&key);
        self.dirty_needs.remove(&key);
        self.tasks.remove(key);
    }

    fn wants(&mut self, id: NodeId, want: Want) {
        let Some(key) = self.node_keys.get(&id).copied() else {
            return;
        };
        self.speaks(key);
        let Some(task) = self.task_keys.get(&want.task).copied() else {
            self.wants_early(id, key, want);
            return;
        };
        if self.pulls_of(key).is_empty() {
            self.note_idle(key);
        }
        self.join_task(task, key);
        self.tasks[task].set_want(key, Some(&want));
        self.drop_useless(task, key);
        self.watch_all(task, key);
        self.settle_pull(task, key);
        self.dirty_receivers.insert((task, key));
        self.hurry(task, key);
    }

    fn wants_early(&mut self, id: NodeId, key: NodeKey, want: Want) {
        let node = &mut self.nodes[key];
        let wants = self.early.entry(want.task).or_default();
        let news = !wants.contains_key(&id);
        if !news || node.early < self.policy.early_wants {
            node.early += usize::from(news);
            wants.insert(id, want);
        } else if wants.is_empty() {
            self.early.remove(&want.task);
        }
    }

    fn unwants(&mut self, id: NodeId, task: TaskId) {
        let Some(key) = self.node_keys.get(&id).copied() else {
            return;
        };
        if let Some(wants) = self.early.get_mut(&task)
            && wants.remove(&id).is_some()
        {
            self.nodes[key].early -= 1;
            if wants.is_empty() {
                self.early.remove(&task);
            }
        }
        let Some(task) = self.task_keys.get(&task).copied() else {
            return;
        };
        for lease in self.downloads_of(task, key) {
            self.cancel(lease);
        }
        self.tasks[task].set_want(key, None);
        self.settle_active(task);
        self.dirty_needs.insert(task);
        self.leave_if_idle(task, key);
    }

    fn has(&mut self, id: NodeId, task: TaskId, pieces: &PieceSet) {
        let (Some(key), Some(task)) = (self.node_keys.get(&id), self.task_keys.get(&task)) else {
            return;
        };
        let (key, task) = (*key, *task);
        self.speaks(key);
        self.join_task(task, key);
        let pieces = self.tasks[task].cut(pieces);
        self.gains(task, key, &pieces);
        self.leave_if_idle(task, key);
    }

    fn lost(&mut self, id: NodeId, task: TaskId, pieces: &PieceSet) {
        let (Some(key), Some(task)) = (self.node_keys.get(&id), self.task_keys.get(&task)) else {
            return;
        };
        let (key, task) = (*key, *task);
        for piece in self.tasks[task].cut(pieces) {
            self.tasks[task].lose(key, piece);
        }
        self.settle_pull(task, key);
        self.dirty_receivers.insert((task, key));
        self.dirty_needs.insert(task);
        self.leave_if_idle(task, key);
    }

    fn join_task(&mut self, task: TaskKey, key: NodeKey) {
        let node = &mut self.nodes[key];
        if !self.tasks[task].members.contains_key(&key) {
            self.tasks[task].join(key, node.is_cache(), node.can_serve);
            node.tasks.push(task);
        }
    }

    /// A node that neither holds nor wants anything of a task is no member of it; but one that was
    /// set aside or accused others stays, so that leaving and coming back changes nothing.
    fn leave_if_idle(&mut self, task: TaskKey, key: NodeKey) {
        let Some(member) = self.tasks[task].members.get(&key) else {
            return;
        };
        let blameless = member.aside_until.is_none() && member.accused == 0 && member.misses == 0;
        if member.pull.is_none() && member.held_count == 0 && blameless {
            self.tasks[task].leave(key);
            self.nodes[key].tasks.retain(|other| *other != task);
        }
    }

    fn settle_active(&mut self, task: TaskKey) {
        if self.tasks[task].hungry.is_empty() {
            self.active.remove(&task);
        }
    }
}
