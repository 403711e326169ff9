//! The types that keep unchecked bytes out of the store, the uploader and the mirror.
//!
//! ```text
//!   the wire, the disk ──► Unverified ──PieceBook::verify──► Verified ──► store, uploader, mirror
//!   origin, read by a supernode ──Attestor::attest─────────────┘
//!   origin, read by a node ──► Provisional ──(the blob's SHA-256 matched: Whole)──► kept as pieces
//! ```
//!
//! Here are the three kinds of bytes; their fields are open to this folder only. [`PieceBook`],
//! [`Receiving`], [`Attestor`] and [`Whole`] are the ways from one kind to another.

mod attest;
mod book;
mod mismatch;
mod receiving;
#[cfg(test)]
mod tests;
mod whole;

use bytes::Bytes;

pub use self::attest::Attestor;
pub use self::book::{OtherTask, PieceBook};
pub use self::mismatch::Mismatch;
pub use self::receiving::Receiving;
pub use self::whole::Whole;
use crate::task::{Layout, PieceIndex, TaskId};
use mismatch::fits;

/// Bytes that somebody sent or a disk returned: nothing is known of them.
#[derive(Clone)]
pub struct Unverified(Bytes);

impl Unverified {
    /// Marks bytes that came from outside.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unverified({} bytes)", self.0.len())
    }
}

/// One whole piece of a task, checked against a believed digest.
#[derive(Clone, Debug)]
pub struct Verified {
    task: TaskId,
    layout: Layout,
    index: PieceIndex,
    bytes: Bytes,
}

impl Verified {
    /// The task that the piece is of.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The piece's number.
    #[must_use]
    pub const fn index(&self) -> PieceIndex {
        self.index
    }

    /// Where the piece lies in the task: from the task's own cut, never from what a peer says.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * self.layout.piece_size().bytes()
    }

    /// The piece's bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// One whole piece that a node took from the origin itself, or from a peer without a signed
/// digest: it may be kept and streamed on this node, and is never uploaded, until the blob's
/// SHA-256 has matched.
#[derive(Clone, Debug)]
pub struct Provisional {
    task: TaskId,
    layout: Layout,
    index: PieceIndex,
    bytes: Bytes,
}

impl Provisional {
    /// A piece as the origin sent it; `None` unless it has just the piece's length.
    #[must_use]
    pub fn new(task: TaskId, layout: Layout, index: PieceIndex, bytes: Unverified) -> Option<Self> {
        fits(layout, index, &bytes.0).then_some(Self { task, layout, index, bytes: bytes.0 })
    }

    /// The task that the piece is of.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The piece's number.
    #[must_use]
    pub const fn index(&self) -> PieceIndex {
        self.index
    }

    /// Where the piece lies in the task.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * self.layout.piece_size().bytes()
    }

    /// The piece's bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
