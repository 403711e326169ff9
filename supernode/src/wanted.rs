//! The tasks that nodes want now: they stay in memory and are not evicted, for whoever gives leases
//! of them has to know their digests, and what the cache holds of them is about to be asked for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use content::TaskId;
use peer::LiveTask;
use schedule::NodeId;

/// The tasks that nodes want now.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    tasks: HashMap<TaskId, Held>,
}

/// A task that somebody wants.
#[derive(Debug)]
struct Held {
    nodes: BTreeSet<NodeId>,
    _live: Arc<LiveTask>,
    _lease: store::Lease,
}

impl Wanted {
    /// A node wants a task.
    pub(crate) fn want(&mut self, node: NodeId, live: &Arc<LiveTask>) {
        let held = self.tasks.entry(live.id()).or_insert_with(|| Held {
            nodes: BTreeSet::new(),
            _live: Arc::clone(live),
            _lease: live.stored().lease(),
        });
        held.nodes.insert(node);
    }

    /// Whether a task is held for somebody, the node included.
    pub(crate) fn has(&self, node: NodeId, task: &TaskId) -> bool {
        self.tasks.get(task).is_some_and(|held| held.nodes.contains(&node))
    }

    /// A node wants a task no more.
    pub(crate) fn unwant(&mut self, node: NodeId, task: &TaskId) {
        if let Some(held) = self.tasks.get_mut(task) {
            held.nodes.remove(&node);
            if held.nodes.is_empty() {
                self.tasks.remove(task);
            }
        }
    }

    /// A node has gone.
    pub(crate) fn leave(&mut self, node: NodeId) {
        self.tasks.retain(|_, held| {
            held.nodes.remove(&node);
            !held.nodes.is_empty()
        });
    }

    /// A task is over.
    pub(crate) fn forget(&mut self, task: &TaskId) {
        self.tasks.remove(task);
    }
}
