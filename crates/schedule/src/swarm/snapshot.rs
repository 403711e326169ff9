//! The state as people and metrics want to see it.

use content::{Layout, TaskId};

use crate::event::NodeId;
use crate::swarm::Swarm;

/// Counts since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Leases given, those asked twice among them.
    pub leases: u64,
    /// Leases that brought what they should.
    pub done: u64,
    /// Leases that came to nothing.
    pub failed: u64,
    /// Leases that asked a second time for what was late.
    pub hedged: u64,
    /// Leases taken back: another won, or nobody wanted it any more.
    pub cancelled: u64,
    /// Pieces that finished leases brought.
    pub pieces: u64,
    /// Pieces that were asked a second time: no more than these were sent in vain.
    pub twice: u64,
}

/// One task as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskView {
    /// The task.
    pub task: TaskId,
    /// Its cut.
    pub layout: Layout,
    /// Nodes that hold all of it, the cache among them.
    pub complete: u32,
    /// Nodes that hold some of it.
    pub partial: u32,
    /// Nodes that want pieces which they have not.
    pub receivers: u32,
    /// Leases in flight.
    pub leases: u32,
    /// Copies of its rarest piece, the cache's and those under way not counted.
    pub rarest: u32,
    /// Pieces that wait for the origin.
    pub needed: u32,
}

/// One node as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// The node.
    pub node: NodeId,
    /// Leases that it serves.
    pub uploads: u32,
    /// Leases that it may serve at once.
    pub slots: u32,
    /// Leases that it receives.
    pub downloads: u32,
    /// Tasks of which it holds or wants something.
    pub tasks: u32,
    /// Bytes per second that a lease from it gets, as far as learned or told.
    pub lease_bytes_per_s: Option<u64>,
}

impl Swarm {
    /// Counts since the start.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// How many leases are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.leases.len()
    }

    /// All tasks, by name.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskView> {
        let mut views: Vec<_> = self.tasks.iter().map(|(_, task)| view(task)).collect();
        views.sort_unstable_by_key(|view| view.task);
        views
    }

    /// All nodes, by number.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        let mut views: Vec<_> = self
            .nodes
            .iter()
            .map(|(_, node)| NodeView {
                node: node.id,
                uploads: count(node.uploads.len()),
                slots: node.slots,
                downloads: count(node.downloads.len()),
                tasks: count(node.tasks.len()),
                lease_bytes_per_s: node.rate.get().map(|rate| crate::rate::to_u64(rate * 1000.0)),
            })
            .collect();
        views.sort_unstable_by_key(|view| view.node);
        views
    }
}

fn view(task: &crate::task::Task) -> TaskView {
    let members = task.members.values();
    let complete = members.clone().filter(|m| m.held_count == task.count);
    let partial = members.filter(|m| m.held_count > 0 && m.held_count < task.count);
    TaskView {
        task: task.id,
        layout: task.layout,
        complete: count(complete.count()),
        partial: count(partial.count()),
        receivers: task.receivers,
        leases: task.leases,
        rarest: task.copies.iter().copied().min().unwrap_or(0),
        needed: count(task.needed.iter().count()),
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
