//! What the swarm moves, and what is known to be true of it.
//!
//! Pure: no I/O, no clock, no async. Read it in this order:
//!
//! - [`digest`]: the SHA-256 that names a blob, and the one pass that checks it;
//! - [`task`]: what the swarm moves, and how it is cut into pieces;
//! - [`pieces`]: a set of pieces, as it is kept, asked for and told;
//! - [`piece`]: a piece's BLAKE3 digest and the proof that lets it be checked every 64 KiB;
//! - [`sign`], [`statement`]: what a supernode says of a task, and why it is believed;
//! - [`verified`]: the types that keep unchecked bytes out of the store, the uploader and the mirror;
//! - [`name`]: the names of registries, repositories and tags that the OCI specification allows.

pub mod digest;
pub mod name;
pub mod piece;
pub mod pieces;
pub mod sign;
pub mod statement;
pub mod task;
pub mod verified;

pub use digest::{BlobHasher, Digest, DigestParseError};
pub use piece::{PieceDigest, PieceProof};
pub use pieces::PieceSet;
pub use sign::{Signer, Verifier};
pub use statement::{SignedStatement, Statement};
pub use task::{Layout, LayoutError, PieceIndex, PieceSize, Run, TaskId, TaskIdParseError};
pub use verified::{
    Attestor, Mismatch, PieceBook, Provisional, Receiving, Unverified, Verified, Whole,
};
