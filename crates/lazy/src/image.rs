//! A bootstrap and its blobs: files that can be read.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rafs::bootstrap::Inode;
use rafs::ci::{HEADER_SIZE, Location};
use rafs::{Blob, Bootstrap, ChunkInfo, CompressionInfo, RafsError, Stored, VerifiedChunk};

use crate::blob::{BlobStats, CachedBlob};
use crate::cache::{BlobKey, ChunkCache};
use crate::error::{FetchError, ReadError};
use crate::fetch;
use crate::parts::{Part, parts};
use crate::source::{Source, Urgency};

/// Where the chunks of one of an image's blobs come from.
#[derive(Debug)]
pub struct BlobFrom {
    /// Its cache's name.
    pub key: BlobKey,
    /// Who has it.
    pub source: Arc<dyn Source>,
    /// Its compression info as a file, where that came beside the bootstrap.
    pub info: Option<Bytes>,
}

/// One blob of an image, as far as it was used.
#[derive(Debug)]
struct Slot {
    from: BlobFrom,
    cache: OnceLock<Arc<CachedBlob>>,
    info: OnceLock<CompressionInfo>,
}

/// An image whose files can be read: its metadata is here, its chunks come when they are wanted.
#[derive(Debug)]
pub struct LazyImage<B> {
    bootstrap: Bootstrap<B>,
    slots: Vec<Slot>,
    cache: Arc<ChunkCache>,
}

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// The image of this bootstrap. `from` says for each of its blobs where it comes from; nothing
    /// is asked of them yet.
    #[must_use]
    pub fn new(
        bootstrap: Bootstrap<B>,
        cache: Arc<ChunkCache>,
        from: impl FnMut(&Blob) -> BlobFrom,
    ) -> Self {
        let slot = |from| Slot { from, cache: OnceLock::new(), info: OnceLock::new() };
        let slots = bootstrap.blobs().iter().map(from).map(slot).collect();
        Self { bootstrap, slots, cache }
    }

    /// The metadata.
    pub const fn bootstrap(&self) -> &Bootstrap<B> {
        &self.bootstrap
    }

    /// How many of `length` bytes from `offset` on a file has.
    #[must_use]
    pub fn span(inode: &Inode, offset: u64, length: usize) -> usize {
        let left = usize::try_from(inode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        left.min(length)
    }

    /// Fills `into` with a file's bytes from `offset` on, if all of them were verified since the
    /// start and are here. Does not wait for anything but the disk. The range must lie within the
    /// file.
    ///
    /// # Errors
    /// If the metadata does not say what the file is made of.
    pub fn read_here(
        &self,
        inode: &Inode,
        offset: u64,
        into: &mut [u8],
    ) -> Result<bool, ReadError> {
        self.each(inode, offset, into, |slot, _, part, into| {
            Ok(slot.cache.get().is_some_and(|cache| cache.read(part, into)))
        })
    }

    /// Fills `into` with a file's bytes from `offset` on, and waits for those that must be fetched.
    /// The range must lie within the file.
    ///
    /// # Errors
    /// If the metadata does not say what the file is made of, or a chunk cannot be had.
    pub fn read(&self, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let done = self.each(inode, offset, into, |slot, blob, part, into| {
            let cache = self.cache_of(slot, blob);
            if !cache.read(part, into) {
                let chunk = self.fetch(slot, blob, cache, &part.chunk, Urgency::Blocked)?;
                let bytes = chunk.bytes().get(part.within.clone());
                into.copy_from_slice(bytes.filter(|b| b.len() == into.len()).ok_or_else(odd)?);
            }
            Ok(true)
        });
        done.map(|_| ())
    }

    /// What became of chunks, of all blobs that were used.
    #[must_use]
    pub fn stats(&self) -> Vec<(BlobKey, BlobStats)> {
        let used = self.slots.iter();
        used.filter_map(|slot| Some((slot.from.key, slot.cache.get()?.stats()))).collect()
    }

    /// Hands each part of a range to `take`, until it says false. True if all of `into` was filled.
    fn each(
        &self,
        inode: &Inode,
        offset: u64,
        into: &mut [u8],
        mut take: impl FnMut(&Slot, &Blob, &Part, &mut [u8]) -> Result<bool, ReadError>,
    ) -> Result<bool, ReadError> {
        let chunks = self.bootstrap.chunks(inode)?;
        let mut filled = 0_usize;
        for part in parts(&chunks, offset, into.len()) {
            let part = part?;
            let number = usize::from(part.chunk.blob);
            let slot = self.slots.get(number).ok_or_else(odd)?;
            let blob = self.bootstrap.blobs().get(number).ok_or_else(odd)?;
            let to = into.get_mut(part.into.clone()).ok_or_else(odd)?;
            if !take(slot, blob, &part, to)? {
                return Ok(false);
            }
            filled = filled.saturating_add(part.into.len());
        }
        // Bytes that no chunk has are no zeros.
        if filled == into.len() { Ok(true) } else { Err(odd().into()) }
    }

    fn cache_of<'a>(&self, slot: &'a Slot, blob: &Blob) -> &'a Arc<CachedBlob> {
        slot.cache.get_or_init(|| self.cache.blob(slot.from.key, blob.uncompressed_size))
    }

    fn fetch(
        &self,
        slot: &Slot,
        blob: &Blob,
        cache: &CachedBlob,
        chunk: &ChunkInfo,
        urgency: Urgency,
    ) -> Result<VerifiedChunk, ReadError> {
        let digester = self.bootstrap.digester();
        let source = &*slot.from.source;
        let from = fetch::From { source, compressor: blob.compressor, digester, urgency };
        let fetched = cache.chunk(chunk, digester, || match chunk.stored {
            Stored::Alone { .. } => fetch::alone(chunk, &from),
            Stored::Batched => self.batched(slot, blob, cache, chunk, &from),
        });
        fetched.map_err(ReadError::Fetch)
    }

    /// A chunk that lies in a batch; the others in it are kept too.
    fn batched(
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
        let open = fetch::batch(chunk, &batch, from)?;
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
        let wrong = |error| FetchError::Wrong { chunk: chunk.digest, error };
        open.chunk(chunk, from.digester, at).map_err(wrong)
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
        let info = match &slot.from.info {
            Some(file) => CompressionInfo::from_file(blob, file),
            None => {
                let length = blob.ci.compressed_size.saturating_add(HEADER_SIZE);
                let stored = from.source.read(blob.ci.offset, length, from.urgency);
                let stored = stored.map_err(|error| FetchError::Source { chunk, error })?;
                CompressionInfo::from_blob(blob, &stored)
            }
        };
        let info = info.map_err(|error| FetchError::Place { chunk, error })?;
        Ok(slot.info.get_or_init(|| info))
    }
}

/// What reading the bootstrap has ruled out.
const fn odd() -> RafsError {
    RafsError::Corrupt { what: "chunk indexes", at: 0, why: "the chunks do not make up the file" }
}
