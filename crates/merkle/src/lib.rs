//! One root over an image's whole tree, and proofs of single files against it.
//!
//! From chunks to files to directories: the root says every name, mode, owner, time, extended
//! attribute, link target and device number, every hard link, and every byte of content, by the
//! digests of its chunks. `docs/merkle.md` argues the encoding. Pure: no I/O, no clock.
//!
//! Read it in this order:
//!
//! - [`hash`]: SHA-256 with a tag for each use, and the binary tree over a list (RFC 9162);
//! - [`record`]: the bytes that say one inode, as they are hashed and as a proof carries them;
//! - [`hashes`]: every inode's hash, and the root;
//! - [`fold`]: the root alone, of a tree that is nowhere whole;
//! - [`prove`](mod@prove), [`proof`]: what shows one file or subtree to somebody who has only the root;
//! - [`beside`]: the hashes as a file that travels beside an image's bootstrap.

#![forbid(unsafe_code)]

pub mod beside;
mod decode;
pub mod fold;
pub mod hash;
pub mod hashes;
pub mod proof;
pub mod prove;
pub mod record;

pub use beside::BesideError;
pub use decode::DecodeError;
pub use fold::Fold;
pub use hashes::Hashes;
pub use proof::{Proof, ProofError, Proven};
pub use prove::{ProveError, prove};
pub use record::{Algorithm, FileContent, Record, What};
