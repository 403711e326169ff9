//! What the scheduler is told.

use content::{Layout, PieceIndex, PieceSet, Run, TaskId};

use crate::decision::LeaseId;

/// Milliseconds on the caller's monotonic clock. The scheduler has no clock of its own: every call
/// carries `now`.
pub type Millis = u64;

/// A connected node. The caller gives the number, a new one for each connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The supernode's own blob cache: a peer like any other, and the only way in for bytes from
    /// the origin.
    pub const CACHE: Self = Self(0);
}

/// How urgent a want is. A higher one overtakes a lower one everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Priority {
    /// A process is blocked in a read.
    Blocked,
    /// A pull is in progress.
    Pull,
    /// Will probably be read soon.
    Prefetch,
    /// Somebody wants it on the node before it is needed.
    Preheat,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Blocked, Self::Pull, Self::Prefetch, Self::Preheat];
}

/// What is known of a node when it joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// How many leases it serves at once; 0 takes the policy's default.
    pub upload_slots: u32,
    /// What it says that it can send, if it says anything. Transfers correct it.
    pub upload_bytes_per_s: Option<u64>,
    /// Its zone: bytes that stay in the zone are cheaper.
    pub zone: String,
    /// Its rack within the zone.
    pub rack: String,
    /// Whether it serves others at all.
    pub can_serve: bool,
}

/// What a node wants of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// The task.
    pub task: TaskId,
    /// The pieces asked for. It is cut to the task.
    pub run: Run,
    /// Where the in-order reader stands.
    pub reader_at: PieceIndex,
    /// How urgent it is.
    pub priority: Priority,
}

/// Why a lease came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blame {
    /// The parent sent wrong bytes: it is set aside for the task at once.
    Parent,
    /// The parent has not got what it claimed: the claim is dropped.
    Missing,
    /// The receiver cannot reach the parent.
    Unreachable,
    /// The parent had no slot left.
    Busy,
    /// The parent did not serve this receiver.
    Refused,
    /// The parent did not deliver in time.
    Timeout,
    /// The receiver could not take it (its disk, its own limits).
    Receiver,
}

/// Something that happened. Events may come twice, late or out of order: what names an unknown
/// node, task or lease is ignored. Piece sets of another capacity than the task's are cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A node has connected, or tells new facts.
    Joined {
        /// The node.
        node: NodeId,
        /// What is known of it.
        facts: NodeFacts,
    },
    /// A node is gone, with all it held, wanted and was sending.
    Left {
        /// The node.
        node: NodeId,
    },
    /// A task's cut is known. A second, different cut is ignored: forget the task first.
    Task {
        /// The task.
        task: TaskId,
        /// Its cut.
        layout: Layout,
    },
    /// A task is over: nobody gets anything of it any more.
    Forget {
        /// The task.
        task: TaskId,
    },
    /// A node wants pieces of a task; replaces what it wanted of that task before. It may come
    /// before [`Event::Task`].
    Wants {
        /// The node.
        node: NodeId,
        /// What it wants.
        want: Want,
    },
    /// A node wants nothing of a task any more.
    Unwants {
        /// The node.
        node: NodeId,
        /// The task.
        task: TaskId,
    },
    /// A node holds these pieces, beside those that it told before.
    Has {
        /// The node.
        node: NodeId,
        /// The task.
        task: TaskId,
        /// The pieces to add.
        pieces: PieceSet,
    },
    /// A node holds these pieces no more.
    Lost {
        /// The node.
        node: NodeId,
        /// The task.
        task: TaskId,
        /// The pieces to take out.
        pieces: PieceSet,
    },
    /// A receiver is done with a lease.
    Done {
        /// The lease.
        lease: LeaseId,
        /// What arrived and was found right.
        pieces: PieceSet,
        /// How many bytes the parent sent.
        bytes: u64,
        /// How long it took.
        millis: Millis,
    },
    /// A receiver gave a lease up.
    Failed {
        /// The lease.
        lease: LeaseId,
        /// What arrived all the same.
        got: PieceSet,
        /// Whose fault it was.
        blame: Blame,
    },
}
