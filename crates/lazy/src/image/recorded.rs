//! What an earlier run has left on the disk: it is checked, and nobody is asked for it.

use std::sync::Arc;

use super::{LazyImage, Of, copy};
use crate::blob::CachedBlob;
use crate::error::ReadError;
use crate::parts::Piece;

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// Whether all of a range is ours to read and on the disk, verified or not, as far as can be said
    /// without reading it.
    pub fn is_recorded(&self, of: &Of, offset: u64, length: usize) -> bool {
        let recorded = self.each(of, offset, length, |piece| {
            let Piece::Part(part) = piece else { return Ok(true) };
            let (slot, _) = self.slot(part.chunk.blob)?;
            let there = |cache: Arc<CachedBlob>| cache.has(&part.chunk);
            Ok(slot.right.is_proved() && self.kept_of(slot).is_some_and(there))
        });
        recorded.unwrap_or(false)
    }

    /// Fills `into` with what `of` means from `offset` on, if all of it is on the disk and right. Waits
    /// for nothing but the disk. The range must lie within.
    ///
    /// # Errors
    /// If the metadata does not say what it is made of.
    pub fn read_recorded(&self, of: &Of, offset: u64, into: &mut [u8]) -> Result<bool, ReadError> {
        self.fill(of, offset, into, |part, to| {
            let (slot, _) = self.slot(part.chunk.blob)?;
            let Some(cache) = self.kept_of(slot).filter(|_| slot.right.is_proved()) else {
                return Ok(false);
            };
            if cache.read(part, to) {
                return Ok(true);
            }
            let Some(chunk) = cache.recover(&part.chunk, self.bootstrap.digester()) else {
                return Ok(false);
            };
            copy(&chunk, part, to)?;
            Ok(true)
        })
    }
}
