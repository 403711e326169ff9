//! What is believed about one task, and the check of a piece against it.

use std::sync::Arc;

use bytes::Bytes;

use super::mismatch::check_length;
use super::{Mismatch, Unverified, Verified};
use crate::piece::PieceDigest;
use crate::statement::Statement;
use crate::task::{Layout, PieceIndex, TaskId};

/// What is believed about one task: its cut, and the digests of its pieces as they become known.
#[derive(Clone, Debug)]
pub struct PieceBook {
    task: TaskId,
    layout: Layout,
    digests: Arc<Vec<Option<PieceDigest>>>,
}

/// A statement that is about another task, or cuts it in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement is about another task, or cuts it in another way")]
pub struct OtherTask;

impl PieceBook {
    /// An empty book.
    #[must_use]
    pub fn new(task: TaskId, layout: Layout) -> Self {
        Self { task, layout, digests: Arc::new(vec![None; layout.pieces() as usize]) }
    }

    /// A book that begins with what `statement` says.
    #[must_use]
    pub fn of(statement: &Statement) -> Self {
        let mut book = Self::new(statement.task(), statement.layout());
        book.write(statement);
        book
    }

    /// Takes over what `statement` says.
    ///
    /// # Errors
    /// If the statement is about another task or another cut of it.
    pub fn learn(&mut self, statement: &Statement) -> Result<(), OtherTask> {
        if statement.task() != self.task || statement.layout() != self.layout {
            return Err(OtherTask);
        }
        self.write(statement);
        Ok(())
    }

    /// Takes over a digest that this node kept itself, from a whole that matched. What a supernode
    /// signed comes before it.
    pub fn recall(&mut self, index: PieceIndex, digest: PieceDigest) {
        if let Some(entry) = Arc::make_mut(&mut self.digests).get_mut(index as usize) {
            entry.get_or_insert(digest);
        }
    }

    fn write(&mut self, statement: &Statement) {
        let digests = Arc::make_mut(&mut self.digests);
        for (index, digest) in statement.digests() {
            if let Some(entry) = digests.get_mut(index as usize) {
                *entry = Some(digest);
            }
        }
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The believed digest of piece `index`.
    #[must_use]
    pub fn digest(&self, index: PieceIndex) -> Option<PieceDigest> {
        self.digests.get(index as usize).copied().flatten()
    }

    /// The one check: bytes become a piece of the task if they match its believed digest.
    ///
    /// # Errors
    /// What differs.
    pub fn verify(&self, index: PieceIndex, bytes: Unverified) -> Result<Verified, Mismatch> {
        let digest = self.digest(index).ok_or(Mismatch::Unknown(index))?;
        check_length(self.layout, index, bytes.0.len() as u64)?;
        if PieceDigest::of(&bytes.0) != digest {
            return Err(Mismatch::Bytes(index));
        }
        Ok(self.piece(index, bytes.0))
    }

    pub(super) fn piece(&self, index: PieceIndex, bytes: Bytes) -> Verified {
        Verified { task: self.task, layout: self.layout, index, bytes }
    }
}
