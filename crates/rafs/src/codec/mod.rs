//! From stored bytes to a chunk's bytes, and back.
//!
//! ```text
//!   a data blob ──► stored bytes ──Decoder::open──────────────► VerifiedChunk ──► whoever reads
//!   a batch in it ──Decoder::open_batch──► OpenBatch::chunk ──────┘
//!   a chunk cache ──► plain bytes ──VerifiedChunk::check──────────┘
//! ```
//!
//! There is no other way to a [`VerifiedChunk`]: who takes nothing else cannot be given bytes
//! that do not match the digest in the bootstrap, whoever sent them and whatever the blob's own
//! tables said of where they lie.

mod encode;

use std::io::Read;

use bytes::Bytes;

use crate::algorithm::{Compressor, Digester};
use crate::chunk::{ChunkInfo, Stored};
use crate::ci::Batch;
use crate::error::ChunkError;
use crate::ondisk::MAX_CHUNK_SIZE;

pub(crate) use encode::compress_section;
pub use encode::{EncodeError, Encoded, Encoder};

/// A chunk's bytes, checked against the digest that the bootstrap has of them.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedChunk {
    info: ChunkInfo,
    bytes: Bytes,
}

impl VerifiedChunk {
    /// The one check: plain bytes become the chunk if they match its length and digest.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(info: &ChunkInfo, digester: Digester, plain: Bytes) -> Result<Self, ChunkError> {
        let (expected, actual) = (u64::from(info.uncompressed_size), plain.len() as u64);
        if expected != actual {
            return Err(ChunkError::Length { expected, actual });
        }
        if digester.digest(&plain) != info.digest {
            return Err(ChunkError::Digest);
        }
        Ok(Self { info: *info, bytes: plain })
    }

    /// Which chunk it is.
    #[must_use]
    pub const fn info(&self) -> &ChunkInfo {
        &self.info
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl std::fmt::Debug for VerifiedChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedChunk({}, {} bytes)", self.info.digest, self.bytes.len())
    }
}

/// Several small chunks, decompressed together and not checked yet.
#[derive(Clone)]
pub struct OpenBatch(Bytes);

impl OpenBatch {
    /// The chunk that begins at byte `at` of the batch.
    ///
    /// # Errors
    /// If it is not there, or does not match its digest.
    pub fn chunk(
        &self,
        info: &ChunkInfo,
        digester: Digester,
        at: u32,
    ) -> Result<VerifiedChunk, ChunkError> {
        let begin = at as usize;
        let end = begin.saturating_add(info.uncompressed_size as usize);
        if end > self.0.len() {
            let (expected, actual) = (end as u64, self.0.len() as u64);
            return Err(ChunkError::Length { expected, actual });
        }
        VerifiedChunk::check(info, digester, self.0.slice(begin..end))
    }
}

impl std::fmt::Debug for OpenBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenBatch({} bytes)", self.0.len())
    }
}

/// Decompresses chunks. Keeps its working memory from one to the next; each thread has its own.
#[derive(Default)]
pub struct Decoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A chunk that is stored alone, from its bytes in the blob.
    ///
    /// # Errors
    /// If there are more or fewer than it says, they do not decompress to its length, or do not
    /// match its digest.
    pub fn open(
        &mut self,
        info: &ChunkInfo,
        compressor: Compressor,
        digester: Digester,
        stored: &Bytes,
    ) -> Result<VerifiedChunk, ChunkError> {
        let Stored::Alone { size, compressed, .. } = info.stored else {
            return Err(ChunkError::Batch);
        };
        let (expected, actual) = (u64::from(size), stored.len() as u64);
        if expected != actual {
            return Err(ChunkError::Length { expected, actual });
        }
        let plain = if compressed {
            self.decompress(compressor, stored, info.uncompressed_size)?.into()
        } else {
            stored.clone()
        };
        VerifiedChunk::check(info, digester, plain)
    }

    /// A batch of chunks, from its bytes in the blob.
    ///
    /// # Errors
    /// If there are more or fewer than it says, or they do not decompress to its length.
    pub fn open_batch(
        &mut self,
        batch: &Batch,
        compressor: Compressor,
        stored: &Bytes,
    ) -> Result<OpenBatch, ChunkError> {
        let (expected, actual) = (u64::from(batch.compressed_size), stored.len() as u64);
        if expected != actual {
            return Err(ChunkError::Length { expected, actual });
        }
        if batch.compressed_size == batch.uncompressed_size {
            return Ok(OpenBatch(stored.clone()));
        }
        Ok(OpenBatch(self.decompress(compressor, stored, batch.uncompressed_size)?.into()))
    }

    /// Exactly `size` bytes.
    fn decompress(
        &mut self,
        compressor: Compressor,
        stored: &[u8],
        size: u32,
    ) -> Result<Vec<u8>, ChunkError> {
        let failed = ChunkError::Decompress { compressor, expected: u64::from(size) };
        if size > MAX_CHUNK_SIZE {
            return Err(failed);
        }
        let plain = match compressor {
            Compressor::None => None,
            Compressor::Lz4 => unlz4(stored, size as usize),
            Compressor::Zstd => self.unzstd(stored, size as usize),
        };
        plain.filter(|plain| plain.len() == size as usize).ok_or(failed)
    }

    fn unzstd(&mut self, stored: &[u8], size: usize) -> Option<Vec<u8>> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        zstd.decompress(stored, size).ok()
    }
}

fn unlz4(stored: &[u8], size: usize) -> Option<Vec<u8>> {
    // A byte of LZ4 makes at most 255: what cannot be is not made room for.
    if size > stored.len().saturating_mul(256) {
        return None;
    }
    let mut plain = vec![0; size];
    let length = lz4_flex::block::decompress_into(stored, &mut plain).ok()?;
    (length == size).then_some(plain)
}

/// A section of metadata: decompressed as it comes, so that memory follows what is there and not
/// what somebody said would be.
pub(crate) fn decompress_section(
    compressor: Compressor,
    stored: &[u8],
    size: u64,
) -> Result<Vec<u8>, ChunkError> {
    let failed = ChunkError::Decompress { compressor, expected: size };
    let plain = match compressor {
        Compressor::None => Some(stored.to_vec()),
        Compressor::Lz4 => usize::try_from(size).ok().and_then(|size| unlz4(stored, size)),
        Compressor::Zstd => {
            let mut plain = Vec::new();
            zstd::stream::read::Decoder::with_buffer(stored)
                .and_then(|zstd| zstd.take(size.saturating_add(1)).read_to_end(&mut plain))
                .is_ok()
                .then_some(plain)
        }
    };
    plain.filter(|plain| plain.len() as u64 == size).ok_or(failed)
}
