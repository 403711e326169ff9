//! What happens by itself, because time passes.

use crate::decision::{Decision, LeaseId};
use crate::event::{Blame, Millis};
use crate::node::NodeKey;
use crate::swarm::Swarm;
use crate::task::TaskKey;

/// After so many leases in a row of which nothing was heard, their receiver is thought to be gone.
const GONE: u32 = 8;
/// How often the time that it gets nothing is doubled: from 15 s to 8 minutes.
const LONGEST_MUTE: u32 = 5;

/// What to look at when its time has come. A stale one is harmless: whoever is woken looks at the
/// state, not at the wake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Wake {
    /// A lease may be late, or silent for too long.
    Lease(LeaseId),
    /// A node has rested, or avoids a parent no more.
    Node(NodeKey),
    /// A node is no longer set aside for a task.
    Aside(TaskKey, NodeKey),
}

impl Swarm {
    /// When [`Self::plan`] has to be called at the latest, even if nothing happens.
    #[must_use]
    pub fn next_timer(&self) -> Option<Millis> {
        if self.is_dirty() {
            return Some(self.now);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn wake(&mut self) {
        while let Some((at, wake)) = self.timers.first().copied() {
            if at > self.now {
                break;
            }
            self.timers.remove(&(at, wake));
            match wake {
                Wake::Lease(lease) => self.wake_lease(lease),
                Wake::Node(node) => self.wake_node(node),
                Wake::Aside(task, node) => self.wake_aside(task, node),
            }
        }
    }

    fn wake_lease(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        lease.wake_at = None;
        if self.now >= lease.heard_at.saturating_add(self.policy.silence) {
            let node = self.nodes[lease.node].id;
            self.remember(id);
            self.out.push(Decision::Cancel { lease: id, node });
            self.count_silence(id);
            self.fail(id, &[], Blame::Timeout);
        } else {
            self.watch(id);
        }
    }

    /// A receiver that says nothing of any lease is probably gone, and keeps others from the slots
    /// that it is given: it gets nothing for a while, each time twice as long as before.
    fn count_silence(&mut self, id: LeaseId) {
        let key = self.leases[&id].node;
        let node = &mut self.nodes[key];
        if self.now < node.mute_until {
            return; // of what it was given before
        }
        node.silent += 1;
        if node.silent.is_multiple_of(GONE) {
            let doubled = (node.silent / GONE - 1).min(LONGEST_MUTE);
            self.mute(key, self.policy.silence << doubled);
        }
    }

    /// A receiver that was thought to be gone is not.
    pub(super) fn speaks(&mut self, key: NodeKey) {
        let node = &mut self.nodes[key];
        if std::mem::take(&mut node.silent) >= GONE && node.mute_until > self.now {
            node.mute_until = self.now;
            self.touch_receiver(key);
        }
    }

    fn wake_node(&mut self, key: NodeKey) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        node.avoids.retain(|(_, until)| *until > now);
        if node.avoids.is_empty() {
            self.avoiders.remove(&key);
        }
        self.touch_parent(key);
        self.touch_receiver(key);
        self.dirty_needs.extend(self.pulls_of(key));
    }

    fn wake_aside(&mut self, task: TaskKey, key: NodeKey) {
        let Some(member) = self.tasks.get(task).and_then(|task| task.members.get(&key)) else {
            return;
        };
        if member.aside_until.is_some_and(|until| until <= self.now) {
            let can_serve = member.can_serve;
            self.tasks[task].set_usable(key, can_serve, None);
            self.dirty_needs.insert(task);
            self.touch_parent(key);
        }
    }
}
