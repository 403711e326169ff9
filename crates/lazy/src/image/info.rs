//! The compression info of blobs, by which chunks in batches are found. Beside the bootstrap it is a
//! file that can be mapped; where it must be asked of the blob it is in memory, and who made the image
//! says how long it is.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rafs::ci::HEADER_SIZE;
use rafs::{Blob, ChunkInfo, CompressionInfo, RafsError};

use super::{LazyImage, Slot};
use crate::error::FetchError;
use crate::fetch;

/// So much of it one image may have in memory, in bytes: that of a million chunks.
const MOST: u64 = 64 << 20;

/// Room for compression info in memory.
#[derive(Debug)]
pub(crate) struct InfoRoom(AtomicU64);

impl InfoRoom {
    /// All of it is free.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(MOST))
    }

    /// Room for so many bytes, if there is so much.
    fn take(&self, bytes: u64) -> Option<Taken<'_>> {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Taken { room: self, bytes })
    }
}

/// Room that was taken; it is given back when this goes.
struct Taken<'a> {
    room: &'a InfoRoom,
    bytes: u64,
}

impl Taken<'_> {
    /// It stays taken.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_unless_it_is_kept() {
        let room = InfoRoom::new();
        assert!(room.take(MOST + 1).is_none());
        let one = room.take(MOST).unwrap();
        assert!(room.take(1).is_none());
        drop(one);
        room.take(MOST - 1).unwrap().keep();
        assert!(room.take(2).is_none() && room.take(1).is_some());
    }
}
