//! Bytes that are not what they should be, and the first thing to look at: their length.

use crate::digest::Digest;
use crate::task::{Layout, PieceIndex};

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No believed digest of this piece is known.
    #[error("piece {0} has no known digest")]
    Unknown(PieceIndex),
    /// The piece has another length.
    #[error("piece {index} has {actual} bytes, not {expected}")]
    Length {
        /// The piece.
        index: PieceIndex,
        /// Its length by the task's cut.
        expected: u64,
        /// The length of what came.
        actual: u64,
    },
    /// The proof does not lead to the piece's digest.
    #[error("the proof of piece {0} does not lead to its digest")]
    Proof(PieceIndex),
    /// The bytes are not what the digest says.
    #[error("piece {0} does not match its digest")]
    Bytes(PieceIndex),
    /// The whole does not match the digest that names it.
    #[error("expected {expected}, got {actual}")]
    Whole {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}

pub(super) fn fits(layout: Layout, index: PieceIndex, bytes: &[u8]) -> bool {
    check_length(layout, index, bytes.len() as u64).is_ok()
}

pub(super) fn check_length(layout: Layout, index: PieceIndex, actual: u64) -> Result<(), Mismatch> {
    let extent = layout.extent(index).ok_or(Mismatch::Unknown(index))?;
    let expected = extent.end - extent.start;
    if actual == expected {
        return Ok(());
    }
    Err(Mismatch::Length { index, expected, actual })
}
