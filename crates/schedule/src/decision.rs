//! What the scheduler decides.

use content::{PieceIndex, PieceSet, Run, TaskId};

use crate::event::{NodeId, Priority};

/// The name of a lease; never used twice in a scheduler's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LeaseId(pub u64);

/// Leave for one node to take one run of pieces from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The task.
    pub task: TaskId,
    /// Who receives.
    pub node: NodeId,
    /// Who sends.
    pub parent: NodeId,
    /// The pieces.
    pub run: Run,
    /// How urgent it is.
    pub priority: Priority,
}

/// Something to be done by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Tell the receiver to take the run from the parent.
    Lease(Lease),
    /// Tell the receiver to stop: another transfer won, or nobody wants it any more. The lease is
    /// over; of what is still said of it, only what arrived is taken in.
    Cancel {
        /// The lease.
        lease: crate::LeaseId,
        /// Its receiver.
        node: NodeId,
    },
    /// The origin has to be asked: nobody who could serve holds these wanted pieces. It is the
    /// whole need of the task, and replaces what was said before; an empty one ends it. It is told
    /// when it changes otherwise than by the cache getting pieces. It must be answered by
    /// [`Event::Has`](crate::Event::Has) of the cache, also for pieces that the cache has already:
    /// their claim was dropped because a receiver could not take them.
    Need {
        /// The task.
        task: TaskId,
        /// What is needed.
        pieces: PieceSet,
        /// Where to begin.
        urgent_first: Option<PieceIndex>,
        /// The highest priority that waits for any of it.
        priority: Priority,
    },
    /// A node sends wrong bytes of a task, or claims what it has not: it serves the task no more,
    /// for [`Policy::set_aside`](crate::Policy::set_aside).
    SetAside {
        /// The node.
        node: NodeId,
        /// The task.
        task: TaskId,
    },
}
