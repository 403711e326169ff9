//! From chunks to a data blob, in one pass.
//!
//! Chunks come compressed and hashed ([`crate::codec::Encoder`], in as many threads as there are)
//! and leave as bytes to be appended to the blob. Small ones can be put into a batch; it is
//! compressed and written when it is full, and its chunks have their numbers and places then, so
//! that both only ever rise, as readers that search by place expect. Between a chunk and its batch
//! other chunks may be written.
//!
//! If chunks are not compressed, each begins at the same multiple of a block in the blob as in
//! uncompressed address space: the kernel takes such a blob as a device, as it is.

use bytes::Bytes;
use content::BlobHasher;

use crate::algorithm::{ChunkDigest, ChunkSize, Compressor};
use crate::blob::Features;
use crate::chunk::{ChunkInfo, Stored};
use crate::ci::{Entry, Place};
use crate::codec::{Encoded, Encoder};
use crate::ondisk::blob::features;
use crate::ondisk::{BLOCK, MAX_CHUNKS, MAX_COMPRESSED, MAX_UNCOMPRESSED, blocks_up};

use super::error::WriteError;

/// How a data blob is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobOptions {
    /// The blob's number in its image.
    pub number: u8,
    /// The image's chunk size.
    pub chunk_size: ChunkSize,
    /// How long a batch may get, in bytes, uncompressed; `None` to store every chunk alone, as it
    /// is done anyway if chunks are not compressed.
    pub batch_size: Option<ChunkSize>,
    /// Whether the blob has sections with tar headers, the chunks' digests, and a table of
    /// contents. A bootstrap can only lie in a blob that has them.
    pub contents: bool,
    /// Whether the blob will have a bootstrap.
    pub inline_bootstrap: bool,
}

/// The number of a chunk among those that were given to one [`BlobWriter`], from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Given(pub u32);

/// A batch, as it will be listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) compressed_size: u32,
    pub(crate) uncompressed_size: u32,
}

/// Small chunks that wait for company.
#[derive(Debug, Default)]
struct Waiting {
    plain: Vec<u8>,
    /// Which, of what digest and length; they lie behind one another.
    chunks: Vec<(Given, ChunkDigest, u32)>,
}

/// A data blob that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    pub(crate) options: BlobOptions,
    pub(crate) encoder: Encoder,
    pub(crate) hasher: BlobHasher,
    /// By the order in which they were given; those in the batch that is open have none yet.
    pub(crate) chunks: Vec<Option<ChunkInfo>>,
    /// By number.
    pub(crate) entries: Vec<(Entry, ChunkDigest)>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) uncompressed_end: u64,
    waiting: Waiting,
}

impl BlobWriter {
    /// An empty blob. The encoder is for batches and metadata; what it compresses with is what the
    /// chunks must be compressed with.
    #[must_use]
    pub fn new(options: BlobOptions, encoder: Encoder) -> Self {
        Self {
            options,
            encoder,
            hasher: BlobHasher::new(),
            chunks: Vec::new(),
            entries: Vec::new(),
            batches: Vec::new(),
            uncompressed_end: 0,
            waiting: Waiting::default(),
        }
    }

    /// Whether no chunk was given: then there is no blob to be made.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many bytes of the blob there are.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.hasher.hashed()
    }

    /// Whether a chunk of `size` bytes belongs into a batch: one of less than half a batch.
    #[must_use]
    pub fn is_small(&self, size: usize) -> bool {
        self.batch_size().is_some_and(|batch| size < batch / 2)
    }

    fn batch_size(&self) -> Option<usize> {
        let compressed = self.encoder.compressor() != Compressor::None;
        self.options.batch_size.filter(|_| compressed).map(|size| size.bytes() as usize)
    }

    /// What the blob has.
    pub(crate) fn features(&self) -> Features {
        let mut bits = 0;
        if self.batch_size().is_some() {
            bits |= features::CI_V2 | features::BATCH;
        }
        if self.options.contents {
            bits |= features::INLINED_DIGESTS | features::TAR_HEADERS | features::TOC;
        }
        if self.options.inline_bootstrap {
            bits |= features::INLINED_BOOTSTRAP;
        }
        Features::write(bits)
    }

    /// The next chunk, stored alone. `out` gets what is to be appended to the blob.
    ///
    /// # Errors
    /// If the blob cannot have more.
    pub fn push(&mut self, chunk: Encoded, out: &mut Vec<Bytes>) -> Result<Given, WriteError> {
        let given = self.give()?;
        let offset = self.length();
        // A chunk is at most 16 MiB, compressed or not.
        let size = u32::try_from(chunk.stored.len()).map_err(|_| WriteError::Space)?;
        let place = Place::Alone { offset, size, compressed: chunk.compressed };
        self.append(chunk.stored, out)?;
        self.settle(given, chunk.digest, chunk.uncompressed_size, place)?;
        if self.encoder.compressor() == Compressor::None {
            self.pad(out)?;
        }
        Ok(given)
    }

    /// The next chunk, for a batch: one that [`Self::is_small`]. `out` may get the batch before.
    ///
    /// # Errors
    /// If the blob cannot have more, or the batch before cannot be compressed.
    pub fn push_small(
        &mut self,
        plain: &[u8],
        digest: ChunkDigest,
        out: &mut Vec<Bytes>,
    ) -> Result<Given, WriteError> {
        let size = u32::try_from(plain.len()).ok().filter(|size| *size > 0);
        let size = size.filter(|_| self.is_small(plain.len())).ok_or(WriteError::Space)?;
        if self.waiting.plain.len() + plain.len() > self.batch_size().unwrap_or(0) {
            self.flush(out)?;
        }
        let given = self.give()?;
        self.waiting.plain.extend_from_slice(plain);
        self.waiting.chunks.push((given, digest, size));
        Ok(given)
    }

    /// Writes the batch that is open.
    pub(crate) fn flush(&mut self, out: &mut Vec<Bytes>) -> Result<(), WriteError> {
        let Waiting { plain, chunks } = std::mem::take(&mut self.waiting);
        if chunks.is_empty() {
            return Ok(());
        }
        // Nobody asks for a batch's digest.
        let batch = self.encoder.compress(plain.into(), ChunkDigest([0; 32]))?;
        let offset = self.length();
        let number = u32::try_from(self.batches.len()).map_err(|_| WriteError::Space)?;
        self.batches.push(Batch {
            compressed_size: u32::try_from(batch.stored.len()).map_err(|_| WriteError::Space)?,
            uncompressed_size: batch.uncompressed_size,
        });
        self.append(batch.stored, out)?;
        let mut at = 0;
        for (given, digest, size) in chunks {
            self.settle(given, digest, size, Place::Batched { batch: number, offset, at })?;
            at += size;
        }
        Ok(())
    }

    fn give(&mut self) -> Result<Given, WriteError> {
        let number = u32::try_from(self.chunks.len()).ok().filter(|number| *number < MAX_CHUNKS);
        self.chunks.push(None);
        number.map(Given).ok_or(WriteError::Space)
    }

    /// Gives a chunk its number and its place in uncompressed address space.
    fn settle(
        &mut self,
        given: Given,
        digest: ChunkDigest,
        uncompressed_size: u32,
        place: Place,
    ) -> Result<(), WriteError> {
        let uncompressed_offset = self.uncompressed_end;
        let end = blocks_up(uncompressed_offset + u64::from(uncompressed_size));
        self.uncompressed_end =
            end.filter(|end| *end <= MAX_UNCOMPRESSED).ok_or(WriteError::Space)?;
        let info = ChunkInfo {
            digest,
            blob: self.options.number,
            index: u32::try_from(self.entries.len()).map_err(|_| WriteError::Space)?,
            uncompressed_offset,
            uncompressed_size,
            stored: match place {
                Place::Alone { offset, size, compressed } => {
                    Stored::Alone { offset, size, compressed }
                }
                Place::Batched { .. } => Stored::Batched,
            },
        };
        self.entries.push((Entry { uncompressed_offset, uncompressed_size, place }, digest));
        if let Some(chunk) = self.chunks.get_mut(given.0 as usize) {
            *chunk = Some(info);
        }
        Ok(())
    }

    /// Zeros up to a block.
    fn pad(&mut self, out: &mut Vec<Bytes>) -> Result<(), WriteError> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let missing = (BLOCK - self.length() % BLOCK) % BLOCK;
        let zeros = ZEROS.get(..usize::try_from(missing).unwrap_or(0)).unwrap_or(&[]);
        self.append(Bytes::from_static(zeros), out)
    }

    /// The blob's next bytes: hashed, in one pass for all, and handed out.
    pub(crate) fn append(&mut self, bytes: Bytes, out: &mut Vec<Bytes>) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.hasher.update(&bytes);
        out.push(bytes);
        if self.length() > MAX_COMPRESSED { Err(WriteError::Space) } else { Ok(()) }
    }
}
