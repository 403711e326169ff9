//! From a blob's stored bytes to a chunk, never without its digest.

use std::cell::RefCell;

use bytes::Bytes;
use rafs::ci::Batch;
use rafs::codec::OpenBatch;
use rafs::{ChunkError, ChunkInfo, Compressor, Decoder, Digester, Stored, VerifiedChunk};

use crate::error::FetchError;
use crate::source::{Source, Urgency};

thread_local! {
    /// Keeps its working memory from one chunk to the next.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

/// How a blob's chunks are stored and checked, and who has them.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// Who has them.
    pub source: &'a dyn Source,
    /// How they are compressed.
    pub compressor: Compressor,
    /// What their digests are.
    pub digester: Digester,
    /// How badly they are wanted.
    pub urgency: Urgency,
}

/// A chunk that is stored alone.
///
/// # Errors
/// If it cannot be had, or is not what its digest says.
pub fn alone(chunk: &ChunkInfo, from: &From<'_>) -> Result<VerifiedChunk, FetchError> {
    let wrong = |error| FetchError::Wrong { chunk: chunk.digest, error };
    let Stored::Alone { offset, size, .. } = chunk.stored else {
        return Err(wrong(ChunkError::Batch));
    };
    let stored = stored(chunk, from, offset, u64::from(size))?;
    let open = |decoder: &RefCell<Decoder>| {
        decoder.borrow_mut().open(chunk, from.compressor, from.digester, &stored)
    };
    DECODER.with(open).map_err(wrong)
}

/// The batch in which a chunk lies. Its bytes are not checked: its chunks are.
///
/// # Errors
/// If it cannot be had, or does not decompress.
pub fn batch(chunk: &ChunkInfo, batch: &Batch, from: &From<'_>) -> Result<OpenBatch, FetchError> {
    let stored = stored(chunk, from, batch.offset, u64::from(batch.compressed_size))?;
    let open = |decoder: &RefCell<Decoder>| {
        decoder.borrow_mut().open_batch(batch, from.compressor, &stored)
    };
    DECODER.with(open).map_err(|error| FetchError::Wrong { chunk: chunk.digest, error })
}

fn stored(
    chunk: &ChunkInfo,
    from: &From<'_>,
    offset: u64,
    length: u64,
) -> Result<Bytes, FetchError> {
    let read = from.source.read(offset, length, from.urgency);
    read.map_err(|error| FetchError::Source { chunk: chunk.digest, error })
}
