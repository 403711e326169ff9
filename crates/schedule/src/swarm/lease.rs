//! The beginning and the end of a lease.

use content::{PieceIndex, Run};

use crate::decision::{Decision, Lease, LeaseId};
use crate::event::{Millis, Priority};
use crate::node::NodeKey;
use crate::pipe::Mark;
use crate::rate::{as_f64, millis_of, to_u64};
use crate::swarm::Swarm;
use crate::swarm::timer::Wake;
use crate::task::TaskKey;

/// A lease that is not over.
pub(super) struct InFlight {
    pub(super) task: TaskKey,
    pub(super) node: NodeKey,
    pub(super) parent: NodeKey,
    pub(super) run: Run,
    pub(super) since: Millis,
    /// Bytes that have not arrived.
    pub(super) left: u64,
    /// Where the parent's uplink and the receiver's downlink stood.
    pub(super) marks: [Mark; 2],
    /// When its last piece came, or it began.
    pub(super) heard_at: Millis,
    /// Its twin, where the same pieces are asked twice.
    pub(super) twin: Option<LeaseId>,
    pub(super) wake_at: Option<Millis>,
}

/// A lease to be given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) task: TaskKey,
    pub(super) node: NodeKey,
    pub(super) parent: NodeKey,
    pub(super) run: Run,
    pub(super) priority: Priority,
}

impl Swarm {
    pub(super) fn grant(&mut self, grant: Grant) -> LeaseId {
        let id = LeaseId(self.next_lease);
        self.next_lease += 1;
        let Grant { task, node, parent, run, priority } = grant;
        let left = self.tasks[task].bytes(run);
        let (since, heard_at) = (self.now, self.now);
        let marks = [
            self.nodes[parent].uplink.load(left, self.now),
            self.nodes[node].downlink.load(left, self.now),
        ];
        let (twin, wake_at) = (None, None);
        let lease =
            InFlight { task, node, parent, run, since, left, marks, heard_at, twin, wake_at };
        self.leases.insert(id, lease);
        let state = &mut self.tasks[task];
        state.leases += 1;
        for piece in run.iter() {
            state.ask(node, piece);
        }
        self.out.push(Decision::Lease(Lease {
            id,
            task: state.id,
            node: self.nodes[node].id,
            parent: self.nodes[parent].id,
            run,
            priority,
        }));
        self.nodes[node].downloads.push(id);
        self.nodes[parent].uploads.push(id);
        self.stats.leases += 1;
        self.settle_parent(parent);
        self.take_up(task, node);
        self.watch(id);
        if self.tasks[task].pull(node).is_some_and(|pull| pull.open_count == 0) {
            // Nothing is left to ask for: what is in flight is now watched more closely.
            self.watch_all(task, node);
        }
        id
    }

    /// A receiver was given something. It has less room and asks for less, which gives nobody a new
    /// choice, unless its window moved on to other pieces.
    fn take_up(&mut self, task: TaskKey, node: NodeKey) {
        let window = |swarm: &Self| swarm.tasks[task].pull(node).map(|pull| pull.window);
        let before = window(self);
        self.settle_receiver(node);
        let after = window(self);
        let moved =
            |(before, after): (Run, Run)| before.end != after.end || after.first < before.first;
        if before.zip(after).is_some_and(moved) {
            self.served.push((task, node));
        }
    }

    /// Ends a lease: what did not arrive may be asked for again.
    pub(super) fn end(&mut self, id: LeaseId) -> Option<InFlight> {
        let lease = self.leases.remove(&id)?;
        if let Some(at) = lease.wake_at {
            self.timers.remove(&(at, Wake::Lease(id)));
        }
        self.late.remove(&id);
        self.tasks[lease.task].leases -= 1;
        self.nodes[lease.node].downloads.retain(|other| *other != id);
        self.note_idle(lease.node);
        self.nodes[lease.parent].uploads.retain(|other| *other != id);
        self.nodes[lease.parent].uplink.unload(lease.left);
        self.nodes[lease.node].downlink.unload(lease.left);
        for piece in lease.run.iter() {
            if self.leases_of(lease.task, lease.node, piece) == 0 {
                self.tasks[lease.task].unask(lease.node, piece);
            }
        }
        if let Some(twin) = lease.twin {
            if let Some(other) = self.leases.get_mut(&twin) {
                other.twin = None;
            }
            self.watch(twin);
        }
        self.touch_parent(lease.parent);
        self.touch_receiver(lease.node);
        Some(lease)
    }

    /// A receiver to whom nothing is on its way any more is looked at again when it has starved.
    pub(super) fn note_idle(&mut self, key: NodeKey) {
        let node = &mut self.nodes[key];
        if node.downloads.is_empty() {
            node.idle_since = self.now;
            let starved = self.now.saturating_add(self.policy.patience);
            self.timers.insert((starved, Wake::Node(key)));
        }
    }

    /// How many leases in flight are to bring this piece.
    pub(super) fn leases_of(&self, task: TaskKey, node: NodeKey, piece: PieceIndex) -> usize {
        let downloads = self.nodes[node].downloads.iter();
        let bring = |id: &&LeaseId| {
            let lease = &self.leases[*id];
            lease.task == task && lease.run.contains(piece)
        };
        downloads.filter(bring).count()
    }

    /// Ends a lease and tells its receiver.
    pub(super) fn cancel(&mut self, id: LeaseId) {
        self.remember(id);
        if let Some(lease) = self.end(id) {
            let node = self.nodes[lease.node].id;
            self.out.push(Decision::Cancel { lease: id, node });
            self.stats.cancelled += 1;
        }
    }

    /// The leases of a task that a node receives.
    pub(super) fn downloads_of(&self, task: TaskKey, node: NodeKey) -> Vec<LeaseId> {
        let downloads = self.nodes[node].downloads.iter().copied();
        downloads.filter(|id| self.leases[id].task == task).collect()
    }

    /// The pieces of a lease that have not arrived.
    pub(super) fn outstanding(&self, lease: &InFlight) -> Vec<PieceIndex> {
        let Some(member) = self.tasks[lease.task].members.get(&lease.node) else {
            return Vec::new();
        };
        let pieces = lease.run.iter();
        pieces.filter(|piece| !member.held.get(*piece)).collect()
    }

    /// A receiver's state of a task changed: leases that bring nothing new any more are cancelled.
    pub(super) fn drop_useless(&mut self, task: TaskKey, node: NodeKey) {
        for id in self.downloads_of(task, node) {
            let wanted = self.tasks[task].pull(node).map(|pull| pull.run);
            let useful = wanted.is_some_and(|wanted| {
                let outstanding = self.outstanding(&self.leases[&id]);
                outstanding.iter().any(|piece| wanted.contains(*piece))
            });
            if !useful {
                self.cancel(id);
            }
        }
    }

    /// Sets the time at which a lease is looked at again, or counts it among the late.
    pub(super) fn watch(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get(&id) else {
            return;
        };
        let silent_at = lease.heard_at.saturating_add(self.policy.silence);
        let late_at = self.late_at(lease);
        let wake_at = if lease.twin.is_some() || late_at <= self.now {
            silent_at
        } else {
            late_at.min(silent_at)
        };
        if lease.twin.is_none() && late_at <= self.now {
            self.late.insert(id);
        } else {
            self.late.remove(&id);
        }
        if lease.wake_at != Some(wake_at) {
            if let Some(at) = lease.wake_at {
                self.timers.remove(&(at, Wake::Lease(id)));
            }
            self.timers.insert((wake_at, Wake::Lease(id)));
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.wake_at = Some(wake_at);
            }
        }
    }

    pub(super) fn watch_all(&mut self, task: TaskKey, node: NodeKey) {
        for id in self.downloads_of(task, node) {
            self.watch(id);
        }
    }

    /// From when on a lease is late. It is counted from the last piece that came, so that a slow
    /// but steady parent is not taken for a dead one.
    fn late_at(&self, lease: &InFlight) -> Millis {
        let task = &self.tasks[lease.task];
        let pieces = u32::try_from(self.outstanding(lease).len()).unwrap_or(u32::MAX);
        let bytes = u64::from(pieces) * task.layout.piece_size().bytes();
        let own = millis_of(bytes, self.rate_of(lease.parent));
        let wait = self.horizon_of(lease.parent);
        let stalled = wait + scaled(self.policy.stall_factor, own).max(self.policy.min_stall);
        let pull = task.pull(lease.node);
        let last =
            pull.is_some_and(|pull| pull.open_count == 0 || pull.priority == Priority::Blocked);
        if !last {
            return lease.heard_at.saturating_add(stalled);
        }
        let typical = self.typical.get().unwrap_or(self.policy.assumed_rate);
        let endgame = wait
            + scaled(self.policy.endgame_factor, millis_of(bytes, typical))
                .max(self.policy.min_endgame);
        lease.heard_at.saturating_add(endgame.min(stalled))
    }
}

fn scaled(factor: f64, millis: Millis) -> Millis {
    to_u64(factor * as_f64(millis))
}
