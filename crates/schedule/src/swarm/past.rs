//! Leases that were taken back a moment ago.
//!
//! A receiver's report may cross the cancellation on the way. The lease is over, but what it
//! brought is there all the same, and must not be asked for again.

use std::collections::{HashMap, VecDeque};

use content::{PieceSet, Run, TaskId};

use crate::decision::LeaseId;
use crate::event::NodeId;
use crate::swarm::Swarm;

/// How many are remembered: some seconds of a large swarm's cancellations.
const REMEMBERED: usize = 8192;

/// Leases that were taken back, the oldest forgotten first.
#[derive(Default)]
pub(super) struct Past {
    order: VecDeque<LeaseId>,
    leases: HashMap<LeaseId, (TaskId, NodeId, Run)>,
}

impl Past {
    pub(super) fn remember(&mut self, lease: LeaseId, task: TaskId, node: NodeId, run: Run) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.leases.remove(&oldest);
        }
        self.order.push_back(lease);
        self.leases.insert(lease, (task, node, run));
    }

    pub(super) fn receiver_of(&self, lease: LeaseId) -> Option<NodeId> {
        self.leases.get(&lease).map(|(_, node, _)| *node)
    }
}

impl Swarm {
    /// A report of a lease that is not in flight: if it was taken back, what came is taken in.
    pub(super) fn late_report(&mut self, id: LeaseId, pieces: &PieceSet) {
        let Some((task, node, run)) = self.past.leases.remove(&id) else {
            return;
        };
        let (Some(task), Some(key)) = (self.task_keys.get(&task), self.node_keys.get(&node)) else {
            return;
        };
        let (task, key) = (*task, *key);
        if self.tasks[task].members.contains_key(&key) {
            let mut pieces = self.tasks[task].cut(pieces);
            pieces.retain(|piece| run.contains(*piece));
            self.gains(task, key, &pieces);
        }
    }
}
