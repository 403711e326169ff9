//! A task's pieces, for others and for readers here: from memory or from the disk.

use std::sync::Arc;

use bytes::Bytes;
use content::PieceIndex;
use tokio::sync::watch;

use super::{End, LiveTask};
use crate::blocking::blocking;
use crate::failure::Failure;

impl LiveTask {
    /// A piece for somebody else: verified bytes only. `None` if it is not here, or no longer
    /// what it was.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn read_present(
        self: &Arc<Self>,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        let live = Arc::clone(self);
        blocking(move || match live.passing_verified(index) {
            Some(bytes) => Ok(Some(bytes)),
            None => live.stored.read_piece(index, &live.book()),
        })
        .await
    }

    /// A piece for a reader on this node, provisional ones too.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn read_local(
        self: &Arc<Self>,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        let live = Arc::clone(self);
        blocking(move || live.read_local_now(index)).await
    }

    /// [`Self::read_local`], for callers that may block.
    pub(crate) fn read_local_now(
        &self,
        index: PieceIndex,
    ) -> Result<Option<Bytes>, store::ReadError> {
        if let Some(bytes) = self.passing_local(index) {
            return Ok(Some(bytes));
        }
        match self.stored.read_provisional(index)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.stored.read_piece(index, &self.book()),
        }
    }

    /// Changes whenever pieces come or go.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.stored.watch()
    }

    /// Waits until piece `index` is here, or the task failed.
    pub(crate) async fn until_local(&self, index: PieceIndex) -> Result<(), Failure> {
        let mut changes = self.changes();
        let mut end = self.end();
        loop {
            changes.borrow_and_update();
            if self.has_local(index) {
                return Ok(());
            }
            if let End::Failed(failure) = &*end.borrow_and_update() {
                return Err(failure.clone());
            }
            let gone = tokio::select! {
                changed = changes.changed() => changed.is_err(),
                changed = end.changed() => changed.is_err(),
            };
            if gone {
                return Err(self.cause("the task was removed from the store").await);
            }
        }
    }
}
