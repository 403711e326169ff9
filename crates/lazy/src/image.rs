//! A bootstrap and its blobs: files that can be read.

mod batches;
mod bound;
mod info;
mod recorded;
mod rights;
mod slot;
mod whole;

use std::sync::Arc;

use bytes::Bytes;
use rafs::bootstrap::Inode;
use rafs::{Blob, Bootstrap, ChunkInfo, RafsError, Stored, VerifiedChunk};

use crate::blob::CachedBlob;
use crate::budget::Budget;
use crate::cache::{BlobKey, ChunkCache};
use crate::counts::ChunkStats;
use crate::error::ReadError;
use crate::fetch;
use crate::flight::Whose;
use crate::parts::{Part, Piece, parts, pieces};
use crate::patience::{InVain, Pauses, is_outage, patiently};
use crate::source::{Source, Want};
pub(crate) use slot::Slot;

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

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// A regular file.
    File(Inode),
    /// The data blob of this number, uncompressed: what the kernel's EROFS takes as a device.
    Blob(u8),
}

/// An image whose files can be read: its metadata is here, its chunks come when they are wanted.
#[derive(Debug)]
pub struct LazyImage<B> {
    bootstrap: Bootstrap<B>,
    slots: Vec<Slot>,
    cache: Arc<ChunkCache>,
    in_vain: InVain,
    /// What its compression info may take in memory.
    info_room: Budget,
}

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// The image of this bootstrap. `from` says for each of its blobs where it comes from; nothing
    /// is asked of them yet.
    #[must_use]
    pub fn new(
        bootstrap: Bootstrap<B>,
        cache: Arc<ChunkCache>,
        mut from: impl FnMut(&Blob) -> BlobFrom,
    ) -> Self {
        let slot = |(blob, keeps)| Slot::new(from(blob), keeps);
        let sizes = bootstrap.blobs().iter().map(|blob| blob.uncompressed_size);
        let slots = bootstrap.blobs().iter().zip(bound::shares(sizes)).map(slot).collect();
        let (in_vain, info_room) = (InVain::default(), Budget::new(info::MOST));
        Self { bootstrap, slots, cache, in_vain, info_room }
    }

    /// The metadata.
    pub const fn bootstrap(&self) -> &Bootstrap<B> {
        &self.bootstrap
    }

    /// How many of `length` bytes from `offset` on there are.
    pub fn span(&self, of: &Of, offset: u64, length: usize) -> usize {
        let size = match of {
            Of::File(inode) => inode.size,
            Of::Blob(blob) => {
                let blob = self.bootstrap.blobs().get(usize::from(*blob));
                blob.map_or(0, |blob| blob.uncompressed_size)
            }
        };
        usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX).min(length)
    }

    /// Fills `into` with what `of` means from `offset` on, if all of it was verified since the start
    /// and is here. Does not wait for anything but the disk. The range must lie within.
    ///
    /// # Errors
    /// If the metadata does not say what it is made of.
    pub fn read_here(&self, of: &Of, offset: u64, into: &mut [u8]) -> Result<bool, ReadError> {
        self.fill(of, offset, into, |part, to| {
            let (slot, _) = self.slot(part.chunk.blob)?;
            let may = slot.right.is_proved();
            Ok(may && slot.used().is_some_and(|cache| cache.read(part, to)))
        })
    }

    /// Fills `into` with what `of` means from `offset` on, and waits for what must be fetched, until
    /// `want` ends. The range must lie within.
    ///
    /// # Errors
    /// If the metadata does not say what it is made of, or a chunk cannot be had.
    pub fn read(
        &self,
        of: &Of,
        offset: u64,
        into: &mut [u8],
        want: &Want,
    ) -> Result<(), ReadError> {
        let missing = self.missing(of, offset, into.len())?;
        let want = &self.in_vain.shorten(want, &missing);
        let together = self.neighbours(missing, want)?;
        let done = self.fill(of, offset, into, |part, to| {
            let (slot, blob) = self.slot(part.chunk.blob)?;
            let cache = self.cache_of(slot);
            let fetched = match together.get(&part.chunk) {
                Some(chunk) => chunk.clone(),
                None if slot.right.is_proved() && cache.read(part, to) => return Ok(true),
                None => {
                    let fetched = self.fetch(slot, blob, &cache, &part.chunk, want)?;
                    self.make_room();
                    fetched
                }
            };
            copy(&fetched, part, to)?;
            Ok(true)
        });
        done.map(|_| ())
    }

    pub(crate) const fn cache(&self) -> &Arc<ChunkCache> {
        &self.cache
    }

    /// Gives back what was not used for longest, if the cache holds too much.
    pub(crate) fn make_room(&self) {
        self.cache.make_room();
    }

    /// What became of chunks, of all blobs that were used.
    #[must_use]
    pub fn stats(&self) -> Vec<(BlobKey, ChunkStats)> {
        let used = self.slots.iter();
        used.filter_map(|slot| Some((slot.from.key, slot.used()?.stats()))).collect()
    }

    /// Fills `into` with what `of` means from `offset` on: `read` puts the bytes of a part into its
    /// place, and where there is none there are zeros. True if they made up all of it; `read` ends that
    /// with false.
    fn fill(
        &self,
        of: &Of,
        offset: u64,
        into: &mut [u8],
        mut read: impl FnMut(&Part, &mut [u8]) -> Result<bool, ReadError>,
    ) -> Result<bool, ReadError> {
        self.each(of, offset, into.len(), |piece| {
            let to = into.get_mut(piece.place().clone()).ok_or_else(odd)?;
            let Piece::Part(part) = piece else {
                to.fill(0);
                return Ok(true);
            };
            read(part, to)
        })
    }

    /// Hands each piece of a range to `take`, until it says false. True if they made up all of it.
    pub(crate) fn each(
        &self,
        of: &Of,
        offset: u64,
        length: usize,
        take: impl FnMut(&Piece) -> Result<bool, ReadError>,
    ) -> Result<bool, ReadError> {
        match of {
            Of::File(inode) => {
                let chunks = self.bootstrap.chunks(inode)?;
                let parts = parts(&chunks, offset, length);
                take_all(parts.map(|part| part.map(Piece::Part)), length, take)
            }
            Of::Blob(blob) => {
                take_all(pieces(&self.bootstrap, *blob, offset, length), length, take)
            }
        }
    }

    /// The blob of this number.
    pub(crate) fn slot(&self, blob: u8) -> Result<(&Slot, &Blob), RafsError> {
        let number = usize::from(blob);
        let slot = self.slots.get(number).ok_or_else(odd)?;
        Ok((slot, self.bootstrap.blobs().get(number).ok_or_else(odd)?))
    }

    /// Where a blob's chunks come from, and how they are checked.
    pub(crate) fn source_of<'a>(
        &self,
        slot: &'a Slot,
        blob: &Blob,
        want: &Want,
    ) -> fetch::From<'a> {
        fetch::From {
            source: &*slot.from.source,
            compressor: blob.compressor,
            digester: self.bootstrap.digester(),
            want: *want,
        }
    }

    fn fetch(
        &self,
        slot: &Slot,
        blob: &Blob,
        cache: &CachedBlob,
        chunk: &ChunkInfo,
        want: &Want,
    ) -> Result<VerifiedChunk, ReadError> {
        let from = self.source_of(slot, blob, want);
        let once = || match chunk.stored {
            Stored::Alone { .. } => fetch::alone(chunk, &from),
            Stored::Batched => self.batched(slot, blob, cache, chunk, &from),
        };
        let mut pauses = Pauses::new();
        loop {
            let (whose, fetched) = cache.chunk(chunk, from.digester, || patiently(want, once));
            let error = match (fetched, whose) {
                (Ok(fetched), Whose::Own) => {
                    Self::has_fetched(slot);
                    return Ok(fetched);
                }
                (Ok(fetched), Whose::Others) => {
                    self.prove(slot, chunk, want)?;
                    return Ok(fetched);
                }
                (Err(error), _) if is_outage(&error) => error,
                (Err(error), _) => return Err(ReadError::Fetch(error)),
            };
            // Whoever else asked for it had less time left than we have.
            let pause = if whose == Whose::Others { pauses.next(want.left()) } else { None };
            let Some(pause) = pause else {
                self.in_vain.note(chunk);
                return Err(ReadError::Fetch(error));
            };
            std::thread::sleep(pause);
        }
    }
}

/// Puts the bytes of a part into its place.
fn copy(chunk: &VerifiedChunk, part: &Part, to: &mut [u8]) -> Result<(), RafsError> {
    let bytes = chunk.bytes().get(part.within.clone());
    to.copy_from_slice(bytes.filter(|bytes| bytes.len() == to.len()).ok_or_else(odd)?);
    Ok(())
}

/// Hands pieces to `take`, until it says false. True if they made up all of `length` bytes.
fn take_all(
    pieces: impl Iterator<Item = Result<Piece, RafsError>>,
    length: usize,
    mut take: impl FnMut(&Piece) -> Result<bool, ReadError>,
) -> Result<bool, ReadError> {
    let mut filled = 0_usize;
    for piece in pieces {
        let piece = piece?;
        filled = filled.saturating_add(piece.place().len());
        if !take(&piece)? {
            return Ok(false);
        }
    }
    // Bytes that no chunk has are no zeros.
    if filled == length { Ok(true) } else { Err(odd().into()) }
}

/// What reading the bootstrap has ruled out.
pub(crate) const fn odd() -> RafsError {
    RafsError::Corrupt { what: "chunk indexes", at: 0, why: "the chunks do not make up the file" }
}
