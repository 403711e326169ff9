//! Leases that were taken back a moment ago.
//!
//! A receiver's report may cross the cancellation on the way. The lease is over, but what it
//! brought is there all the same, and must not be asked for again; and what its parent did wrong
//! was as wrong.

use std::collections::{HashMap, VecDeque};

use content::{PieceSet, Run, TaskId};

use crate::decision::LeaseId;
use crate::event::{Blame, NodeId};
use crate::swarm::Swarm;

/// How many are remembered: some seconds of a large swarm's cancellations.
const REMEMBERED: usize = 8192;

/// Leases that were taken back, the oldest forgotten first.
#[derive(Default)]
pub(super) struct Past {
    order: VecDeque<LeaseId>,
    leases: HashMap<LeaseId, Over>,
}

/// A lease that was taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    pub(super) task: TaskId,
    pub(super) node: NodeId,
    pub(super) parent: NodeId,
    pub(super) run: Run,
}

impl Past {
    pub(super) fn remember(&mut self, lease: LeaseId, over: Over) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.leases.remove(&oldest);
        }
        self.order.push_back(lease);
        self.leases.insert(lease, over);
    }

    pub(super) fn receiver_of(&self, lease: LeaseId) -> Option<NodeId> {
        self.leases.get(&lease).map(|over| over.node)
    }
}

impl Swarm {
    /// Remembers a lease that is being taken back.
    pub(super) fn remember(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get(&id) {
            let over = Over {
                task: self.tasks[lease.task].id,
                node: self.nodes[lease.node].id,
                parent: self.nodes[lease.parent].id,
                run: lease.run,
            };
            self.past.remember(id, over);
        }
    }

    /// A report of a lease that is not in flight: if it was taken back, what came is taken in, and a
    /// parent that is to blame is blamed.
    pub(super) fn late_report(&mut self, id: LeaseId, pieces: &PieceSet, blame: Option<Blame>) {
        let Some(Over { task, node, parent, run }) = self.past.leases.remove(&id) else {
            return;
        };
        let (Some(task), Some(key)) = (self.task_keys.get(&task), self.node_keys.get(&node)) else {
            return;
        };
        let (task, key) = (*task, *key);
        self.speaks(key);
        if !self.tasks[task].members.contains_key(&key) {
            return;
        }
        let mut got = self.tasks[task].cut(pieces);
        got.retain(|piece| run.contains(*piece));
        self.gains(task, key, &got);
        let Some(parent) = self.node_keys.get(&parent).copied() else {
            return;
        };
        let count = self.tasks[task].count;
        let missed = run.iter().filter(|piece| *piece < count && !got.contains(piece));
        let missed: Vec<_> = missed.collect();
        match blame {
            Some(Blame::Parent) => self.blame_bytes(task, key, parent, &missed),
            Some(Blame::Missing) => self.blame_claim(task, key, parent, &missed),
            _ => {}
        }
    }
}
