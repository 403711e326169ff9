//! The compression info of blobs, by which chunks in batches are found. Beside the bootstrap it is a
//! file that can be mapped; where it must be asked of the blob it is in memory, and who made the image
//! says how long it is.

use std::io;

use rafs::ci::HEADER_SIZE;
use rafs::{Blob, ChunkInfo, CompressionInfo, RafsError};

use super::{LazyImage, Slot};
use crate::error::FetchError;
use crate::fetch;

/// So much of it one image may have in memory, in bytes: that of a million chunks.
pub(super) const MOST: u64 = 64 << 20;

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// The compression info of a blob: from beside the bootstrap, or from the blob.
    pub(crate) fn info_of<'a>(
        &self,
        slot: &'a Slot,
        blob: &Blob,
        chunk: &ChunkInfo,
        from: &fetch::From<'_>,
    ) -> Result<&'a CompressionInfo, FetchError> {
        if let Some(info) = slot.info.get() {
            return Ok(info);
        }
        let beside = slot.from.info.as_ref().map(|file| CompressionInfo::from_file(blob, file));
        match beside {
            Some(Ok(info)) => return Ok(slot.info.get_or_init(|| info)),
            Some(Err(error)) => {
                tracing::warn!(%error, "what lies beside the bootstrap is wrong: asking the blob");
            }
            None => {}
        }
        self.info_in(slot, blob, chunk, from)
    }

    /// The compression info that the blob has.
    fn info_in<'a>(
        &self,
        slot: &'a Slot,
        blob: &Blob,
        chunk: &ChunkInfo,
        from: &fetch::From<'_>,
    ) -> Result<&'a CompressionInfo, FetchError> {
        let chunk = chunk.digest;
        let size = blob.ci.uncompressed_size;
        if size > MOST {
            let why = "it is so long that it must lie beside the bootstrap";
            let error = RafsError::Corrupt { what: "compression info", at: blob.ci.offset, why };
            return Err(FetchError::Place { chunk, error });
        }
        // Others may be reading theirs, and give the room back.
        let busy = || FetchError::Source { chunk, error: io::ErrorKind::ResourceBusy.into() };
        let taken = self.info_room.take(size).ok_or_else(busy)?;
        let length = blob.ci.compressed_size.saturating_add(HEADER_SIZE);
        let stored = from.source.read(blob.ci.offset, length, &from.want);
        let stored = stored.map_err(|error| FetchError::Source { chunk, error })?;
        let info = CompressionInfo::from_blob(blob, &stored);
        let info = info.map_err(|error| FetchError::Place { chunk, error })?;
        // Unless somebody was faster: then this one goes, and its room.
        Ok(slot.info.get_or_init(|| {
            taken.keep();
            info
        }))
    }
}
