//! Chunks that are stored together with others.

use rafs::ci::Location;
use rafs::{Blob, ChunkInfo, VerifiedChunk};

use super::{LazyImage, Slot, odd};
use crate::blob::CachedBlob;
use crate::error::FetchError;
use crate::fetch;

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// A chunk that lies in a batch; the others in it are kept too.
    pub(crate) fn batched(
        &self,
        slot: &Slot,
        blob: &Blob,
        cache: &CachedBlob,
        chunk: &ChunkInfo,
        from: &fetch::From<'_>,
    ) -> Result<VerifiedChunk, FetchError> {
        let lost = |error| FetchError::Place { chunk: chunk.digest, error };
        let info = self.info_of(slot, blob, chunk, from)?;
        let Location::Batched { batch, at } = info.locate(chunk).map_err(lost)? else {
            return Err(lost(odd()));
        };
        let (open, wanted) = fetch::batch(chunk, &batch, at, from)?;
        let neighbours = (chunk.index.saturating_add(1)..info.len()).map_while(|index| {
            let chunk = self.bootstrap.chunk_of(chunk.blob, index)?;
            match info.locate(&chunk) {
                Ok(Location::Batched { batch: other, at }) if other == batch => Some((chunk, at)),
                _ => None,
            }
        });
        for (neighbour, at) in neighbours {
            // One that is wrong is fetched, and told, when it is read.
            if let Ok(neighbour) = open.chunk(&neighbour, from.digester, at) {
                cache.keep(&neighbour);
            }
        }
        Ok(wanted)
    }
}
