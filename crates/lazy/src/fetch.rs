//! From a blob's stored bytes to a chunk, never without its digest.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use rafs::ci::Batch;
use rafs::codec::OpenBatch;
use rafs::{ChunkError, ChunkInfo, Compressor, Decoder, Digester, Stored, VerifiedChunk};

use crate::error::FetchError;
use crate::run::{Run, place};
use crate::source::{Source, Want};

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
    /// How badly they are wanted, and until when.
    pub want: Want,
}

/// A chunk that is stored alone.
///
/// # Errors
/// If it cannot be had, or is not what its digest says.
pub fn alone(chunk: &ChunkInfo, from: &From<'_>) -> Result<VerifiedChunk, FetchError> {
    let Stored::Alone { offset, size, .. } = chunk.stored else {
        return Err(FetchError::Wrong { chunk: chunk.digest, error: ChunkError::Batch });
    };
    stored(chunk, from, (offset, size), |decoder, stored| {
        decoder.open(chunk, from.compressor, from.digester, stored)
    })
}

/// The batch in which a chunk lies, and the chunk, which begins at byte `at` of it. The other chunks
/// of the batch are not checked.
///
/// # Errors
/// If it cannot be had, does not decompress, or the chunk is not what its digest says.
pub fn batch(
    chunk: &ChunkInfo,
    batch: &Batch,
    at: u32,
    from: &From<'_>,
) -> Result<(OpenBatch, VerifiedChunk), FetchError> {
    stored(chunk, from, (batch.offset, batch.compressed_size), |decoder, stored| {
        let open = decoder.open_batch(batch, from.compressor, stored)?;
        let chunk = open.chunk(chunk, from.digester, at)?;
        Ok((open, chunk))
    })
}

/// A chunk that is stored alone and came wrong: from elsewhere, if there is somewhere else.
///
/// # Errors
/// As [`alone`].
pub fn again(chunk: &ChunkInfo, from: &From<'_>) -> Result<VerifiedChunk, FetchError> {
    let (offset, size) =
        place(chunk).ok_or(FetchError::Wrong { chunk: chunk.digest, error: ChunkError::Batch })?;
    let lost = |error| FetchError::Source { chunk: chunk.digest, error };
    let bytes = from.source.read_again(offset, u64::from(size), &from.want).map_err(lost)?;
    let (compressor, digester) = (from.compressor, from.digester);
    let opened =
        DECODER.with(|decoder| decoder.borrow_mut().open(chunk, compressor, digester, &bytes));
    opened.map_err(|error| FetchError::Wrong { chunk: chunk.digest, error })
}

/// Chunks that lie behind one another, by one request; `take` gets each by itself, or what is wrong
/// with it.
///
/// # Errors
/// If their bytes cannot be had; then none was taken.
pub fn together(
    run: &Run,
    from: &From<'_>,
    mut take: impl FnMut(&ChunkInfo, Result<VerifiedChunk, ChunkError>),
) -> io::Result<()> {
    let mut bytes = from.source.read(run.offset, run.length, &from.want)?;
    if bytes.len() as u64 != run.length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for chunk in &run.chunks {
        let size = place(chunk).map_or(0, |(_, size)| size as usize);
        let stored = bytes.split_to(size.min(bytes.len()));
        let (compressor, digester) = (from.compressor, from.digester);
        let opened =
            DECODER.with(|decoder| decoder.borrow_mut().open(chunk, compressor, digester, &stored));
        take(chunk, opened);
    }
    Ok(())
}

/// Makes something of so many stored bytes at an offset; if what came was not right, of what comes
/// when they are asked for once more.
fn stored<T>(
    chunk: &ChunkInfo,
    from: &From<'_>,
    (offset, size): (u64, u32),
    open: impl Fn(&mut Decoder, &Bytes) -> Result<T, ChunkError>,
) -> Result<T, FetchError> {
    let chunk = chunk.digest;
    let lost = |error| FetchError::Source { chunk, error };
    let open = |bytes: &Bytes| DECODER.with(|decoder| open(&mut decoder.borrow_mut(), bytes));
    let bytes = from.source.read(offset, u64::from(size), &from.want).map_err(lost)?;
    open(&bytes).or_else(|error| {
        tracing::warn!(%chunk, %error, "a chunk came wrong: asking once more");
        let bytes = from.source.read_again(offset, u64::from(size), &from.want).map_err(lost)?;
        open(&bytes).map_err(|error| FetchError::Wrong { chunk, error })
    })
}
