//! A run of pieces from whoever holds it: a node, or the supernode's cache.
//!
//! The asker shows its ticket. Each piece comes as a [`PieceHeader`] and then, raw on the stream,
//! the piece's bytes. The header's proof comes first, so that each 64 KiB is checked as it arrives.

use crate::{SignedTicket, Statement};

/// A run of pieces.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fetch {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The first piece.
    #[prost(uint32, tag = "2")]
    pub first: u32,
    /// One past the last piece.
    #[prost(uint32, tag = "3")]
    pub end: u32,
    /// The permission.
    #[prost(message, optional, tag = "4")]
    pub ticket: Option<SignedTicket>,
    /// How urgent it is.
    #[prost(enumeration = "crate::control::Priority", tag = "5")]
    pub priority: i32,
}

/// What comes before a piece's bytes, or instead of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PieceHeader {
    /// Whether the piece follows.
    #[prost(enumeration = "Verdict", tag = "1")]
    pub verdict: i32,
    /// The piece's number.
    #[prost(uint32, tag = "2")]
    pub index: u32,
    /// How many bytes follow.
    #[prost(uint64, tag = "3")]
    pub length: u64,
    /// The chaining values of its 64 KiB groups ([`content::PieceProof`]).
    #[prost(bytes = "vec", tag = "4")]
    pub proof: Vec<u8>,
}

/// Whether a piece follows, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Verdict {
    /// The piece's bytes follow.
    Follows = 0,
    /// The ticket is missing, another's, of another task, or too old.
    Refused = 1,
    /// The piece is not held.
    Missing = 2,
    /// Too many ask at once; try another, or later.
    Busy = 3,
}

/// What is known of a task, and held.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Describe {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The permission.
    #[prost(message, optional, tag = "2")]
    pub ticket: Option<SignedTicket>,
    /// Where the asker is reached: address and port.
    #[prost(string, tag = "3")]
    pub address: String,
}

/// The answer to [`Describe`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Description {
    /// Whether the asker may know.
    #[prost(enumeration = "Verdict", tag = "1")]
    pub verdict: i32,
    /// What a supernode signed of the task.
    #[prost(message, repeated, tag = "2")]
    pub statements: Vec<Statement>,
    /// The pieces that the asked holds.
    #[prost(bytes = "vec", tag = "3")]
    pub pieces: Vec<u8>,
    /// Who else may have pieces of it.
    #[prost(message, repeated, tag = "4")]
    pub peers: Vec<KnownPeer>,
    /// Whether all of it was hashed and is what its name says.
    #[prost(bool, tag = "5")]
    pub whole: bool,
    /// Whether somebody reads it there.
    #[prost(bool, tag = "6")]
    pub wanted: bool,
    /// How many pieces the asked took from the origin and cannot give yet, for nobody signed their
    /// digests.
    #[prost(uint32, tag = "7")]
    pub provisional: u32,
}

/// Another node, and where it is reached.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KnownPeer {
    /// Its name, which its certificate must bear.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its address and port.
    #[prost(string, tag = "2")]
    pub address: String,
}
