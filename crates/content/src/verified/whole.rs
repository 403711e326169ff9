//! The fact that a whole task is what its name says.

use super::Mismatch;
use crate::digest::{BlobHasher, Digest};
use crate::task::TaskId;

/// The fact that all bytes of a task were hashed on this node and are what its name says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    task: TaskId,
    digest: Digest,
    length: u64,
}

impl Whole {
    /// Ends the one SHA-256 pass over a task of `length` bytes.
    ///
    /// A URL's task has no digest in its name: `expected` is what its user gave, if anything; the
    /// digest that came out stands in the fact.
    ///
    /// # Errors
    /// If the bytes are not what the name or `expected` says, or not all were hashed.
    pub fn prove(
        task: TaskId,
        expected: Option<Digest>,
        length: u64,
        hasher: BlobHasher,
    ) -> Result<Self, Mismatch> {
        if hasher.hashed() != length {
            return Err(Mismatch::Length { index: 0, expected: length, actual: hasher.hashed() });
        }
        let digest = hasher.finish();
        for expected in [task.digest(), expected].into_iter().flatten() {
            if expected != digest {
                return Err(Mismatch::Whole { expected, actual: digest });
            }
        }
        Ok(Self { task, digest, length })
    }

    /// The task that is whole.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The SHA-256 of all its bytes.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}
