//! Chunks that are stored together with others.

use rafs::ci::{HEADER_SIZE, Location};
use rafs::{Blob, ChunkInfo, CompressionInfo, VerifiedChunk};

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

    /// The compression info of a blob: from beside the bootstrap, or from the blob.
    fn info_of<'a>(
        &self,
        slot: &'a Slot,
        blob: &Blob,
        chunk: &ChunkInfo,
        from: &fetch::From<'_>,
    ) -> Result<&'a CompressionInfo, FetchError> {
        let chunk = chunk.digest;
        if let Some(info) = slot.info.get() {
            return Ok(info);
        }
        let beside = slot.from.info.as_ref().map(|file| CompressionInfo::from_file(blob, file));
        let info = match beside {
            Some(Ok(info)) => Ok(info),
            beside => {
                if let Some(Err(error)) = beside {
                    tracing::warn!(%error, "what lies beside the bootstrap is wrong: asking the blob");
                }
                let length = blob.ci.compressed_size.saturating_add(HEADER_SIZE);
                let stored = from.source.read(blob.ci.offset, length, &from.want);
                let stored = stored.map_err(|error| FetchError::Source { chunk, error })?;
                CompressionInfo::from_blob(blob, &stored)
            }
        };
        let info = info.map_err(|error| FetchError::Place { chunk, error })?;
        Ok(slot.info.get_or_init(|| info))
    }
}
