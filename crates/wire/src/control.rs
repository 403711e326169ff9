//! The one long-lived stream between a node and its supernode.
//!
//! The node says who it is, what it holds, what it wants, and how its transfers went; the
//! supernode says what a task is and which pieces to take from whom.

use crate::{SignedTicket, Statement};

/// What a node says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromNode {
    /// One of the things below.
    #[prost(oneof = "NodeSays", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub says: Option<NodeSays>,
}

/// The things that a node says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum NodeSays {
    /// Who and where it is; the first message on the stream.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// What it has got.
    #[prost(message, tag = "2")]
    Has(Has),
    /// What it no longer has.
    #[prost(message, tag = "3")]
    Lost(Lost),
    /// What it wants.
    #[prost(message, tag = "4")]
    Want(Want),
    /// What it no longer wants.
    #[prost(message, tag = "5")]
    Unwant(Unwant),
    /// A lease's end.
    #[prost(message, tag = "6")]
    Ended(Ended),
    /// All that it holds has been told: the supernode may count on its picture.
    #[prost(message, tag = "7")]
    Told(Told),
}

/// Who and where a node is. Its name stands in its certificate.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// Where other nodes reach it: address and port. An unspecified address means the one that
    /// the supernode sees.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Its zone, or empty.
    #[prost(string, tag = "2")]
    pub zone: String,
    /// Its rack, or empty.
    #[prost(string, tag = "3")]
    pub rack: String,
    /// How many runs it sends at once.
    #[prost(uint32, tag = "4")]
    pub upload_slots: u32,
    /// What it may send in bytes per second; 0 where it is not limited.
    #[prost(uint64, tag = "5")]
    pub upload_rate: u64,
    /// Its program's version.
    #[prost(string, tag = "6")]
    pub version: String,
}

/// Pieces of a task that the node holds, verified.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Has {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Its length in bytes.
    #[prost(uint64, tag = "2")]
    pub length: u64,
    /// Its piece size in bytes.
    #[prost(uint64, tag = "3")]
    pub piece_size: u64,
    /// The pieces, as [`content::PieceSet::to_bytes`] has them.
    #[prost(bytes = "vec", tag = "4")]
    pub pieces: Vec<u8>,
    /// What a supernode once signed of it: sent on (re)connection, so that one that lost its
    /// memory has the swarm back.
    #[prost(message, repeated, tag = "5")]
    pub statements: Vec<Statement>,
}

/// Pieces of a task that the node no longer holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Lost {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The pieces; empty for all of them.
    #[prost(bytes = "vec", tag = "2")]
    pub pieces: Vec<u8>,
}

/// What a node wants of a task; a newer want replaces the older one.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Want {
    /// The task, which the node opened before.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The first piece of the wanted run.
    #[prost(uint32, tag = "2")]
    pub first: u32,
    /// One past its last piece.
    #[prost(uint32, tag = "3")]
    pub end: u32,
    /// The piece that the reader is at.
    #[prost(uint32, tag = "4")]
    pub reader_at: u32,
    /// How urgent it is.
    #[prost(enumeration = "Priority", tag = "5")]
    pub priority: i32,
}

/// How urgent something is, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Priority {
    /// A read in a container waits for it.
    Blocked = 0,
    /// A pull in progress.
    Pull = 1,
    /// Read ahead of need.
    Prefetch = 2,
    /// Asked for before anybody needs it.
    Preheat = 3,
}

/// What a node no longer wants.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Unwant {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
}

/// All that the node holds has been told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Told {}

/// How a lease ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ended {
    /// The lease.
    #[prost(uint64, tag = "1")]
    pub lease: u64,
    /// The pieces that came and were verified.
    #[prost(bytes = "vec", tag = "2")]
    pub pieces: Vec<u8>,
    /// How many bytes came.
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
    /// How long it took, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub millis: u64,
    /// Why it ended early, if it did.
    #[prost(enumeration = "Outcome", tag = "5")]
    pub outcome: i32,
}

/// Whether a lease ended well, and whose fault it was if not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Outcome {
    /// All pieces came.
    Done = 0,
    /// The parent sent wrong bytes.
    WrongBytes = 1,
    /// The parent could not be reached, or went away.
    Unreachable = 2,
    /// The parent was busy.
    Busy = 3,
    /// The parent refused the ticket.
    Refused = 4,
    /// The parent did not have the pieces.
    Missing = 5,
    /// The parent sent nothing for too long.
    Stalled = 6,
    /// The receiver could not keep them, or no longer wanted them.
    Receiver = 7,
}

/// What a supernode says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromSupernode {
    /// One of the things below.
    #[prost(oneof = "SupernodeSays", tags = "1, 2, 3, 4, 5, 6")]
    pub says: Option<SupernodeSays>,
}

/// The things that a supernode says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SupernodeSays {
    /// The node is known; the answer to its hello.
    #[prost(message, tag = "1")]
    Welcome(Welcome),
    /// Take a run of pieces from somebody.
    #[prost(message, tag = "2")]
    Lease(Lease),
    /// A lease is no longer needed.
    #[prost(message, tag = "3")]
    Cancel(Cancel),
    /// More is known of a task.
    #[prost(message, tag = "4")]
    Learnt(Statement),
    /// A task came to nothing.
    #[prost(message, tag = "5")]
    Failed(TaskFailed),
    /// A want came for what this supernode has not given the node leave to have.
    #[prost(message, tag = "6")]
    Unopened(Unopened),
}

/// The node is known.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Welcome {
    /// The supernode's program's version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The keys whose signatures are believed, 32 bytes each.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub keys: Vec<Vec<u8>>,
    /// Some of the other nodes, for the time when no supernode answers.
    #[prost(message, repeated, tag = "3")]
    pub neighbours: Vec<crate::data::KnownPeer>,
}

/// Take a run of pieces from somebody.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Lease {
    /// The lease's number, to be named when it ends.
    #[prost(uint64, tag = "1")]
    pub lease: u64,
    /// The task.
    #[prost(string, tag = "2")]
    pub task: String,
    /// The run's first piece.
    #[prost(uint32, tag = "3")]
    pub first: u32,
    /// One past its last piece.
    #[prost(uint32, tag = "4")]
    pub end: u32,
    /// The name of the node that has them; empty for the supernode's own cache.
    #[prost(string, tag = "5")]
    pub parent: String,
    /// Where that node is reached.
    #[prost(string, tag = "6")]
    pub address: String,
    /// The permission to show it.
    #[prost(message, optional, tag = "7")]
    pub ticket: Option<SignedTicket>,
    /// The run's piece digests, where the node may not know them yet.
    #[prost(message, repeated, tag = "8")]
    pub statements: Vec<Statement>,
    /// How urgent it is.
    #[prost(enumeration = "Priority", tag = "9")]
    pub priority: i32,
}

/// A lease is no longer needed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cancel {
    /// The lease.
    #[prost(uint64, tag = "1")]
    pub lease: u64,
}

/// A task has to be opened before it is wanted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Unopened {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
}

/// A task came to nothing: what waits for it fails, and nothing of it is kept.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskFailed {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Why.
    #[prost(message, optional, tag = "2")]
    pub failure: Option<crate::request::Failure>,
    /// Whether the bytes themselves were wrong, so that what is held of them must go.
    #[prost(bool, tag = "3")]
    pub drop: bool,
}
