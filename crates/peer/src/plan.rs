//! Where missing pieces come from: the one thing in which a node and a supernode differ.

use std::sync::Arc;

use content::{PieceSet, TaskId};

use crate::live::LiveTask;

/// Gets missing pieces of a task from somewhere.
///
/// On a node that is the link to the supernode, and without one the node's own search; in a
/// supernode nothing reads in order, and the scheduler asks the origin.
pub trait Plan: Send + Sync + 'static {
    /// The demand on a task changed ([`LiveTask::want`] tells what it is now). Returns at once.
    fn wanted(&self, task: &Arc<LiveTask>);

    /// Pieces that others may have been told of are here no more: evicted, removed, damaged, or
    /// passed on without being kept. Returns at once.
    fn lost(&self, task: TaskId, pieces: PieceSet) {
        let _ = (task, pieces);
    }
}

/// A plan that does nothing: readers get what others bring.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlan;

impl Plan for NoPlan {
    fn wanted(&self, _task: &Arc<LiveTask>) {}
}
