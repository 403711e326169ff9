//! Pieces that have come from the origin and are not stored yet: they are checked and written while
//! the next ones come.

use std::collections::BTreeSet;

use content::PieceIndex;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::failure::Failure;

/// So many pieces at most wait to be stored: a disk slower than the origin slows the origin down.
const AT_MOST: usize = 4;

pub(crate) struct Keeping<F> {
    running: FuturesUnordered<F>,
    pieces: BTreeSet<PieceIndex>,
}

impl<F: Future<Output = Result<PieceIndex, Failure>>> Keeping<F> {
    pub(crate) fn new() -> Self {
        Self { running: FuturesUnordered::new(), pieces: BTreeSet::new() }
    }

    pub(crate) fn has(&self, index: PieceIndex) -> bool {
        self.pieces.contains(&index)
    }

    pub(crate) async fn begin(&mut self, index: PieceIndex, keep: F) -> Result<(), Failure> {
        while self.running.len() >= AT_MOST {
            self.one().await?;
        }
        self.pieces.insert(index);
        self.running.push(keep);
        Ok(())
    }

    /// Does something else meanwhile.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                kept = self.one(), if !self.running.is_empty() => kept?,
            }
        }
    }

    /// Waits until all are stored.
    pub(crate) async fn all(&mut self) -> Result<(), Failure> {
        while !self.running.is_empty() {
            self.one().await?;
        }
        Ok(())
    }

    async fn one(&mut self) -> Result<(), Failure> {
        if let Some(kept) = self.running.next().await {
            self.pieces.remove(&kept?);
        }
        Ok(())
    }
}
