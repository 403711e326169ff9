//! From a chunk to its bytes, never without its digest.

use std::io::Write;

use bytes::Bytes;
use rafs::ci::{Batch, Location};
use rafs::codec::OpenBatch;
use rafs::{BlobId, ChunkError, ChunkInfo, Content, Decoder, Stored, VerifiedChunk};

use super::{OpenError, Opened};

/// Reads chunks of an image. Keeps its working memory and the batch that was read last; each
/// thread has its own.
#[derive(Debug)]
pub struct ChunkReader<'a> {
    opened: &'a Opened,
    decoder: Decoder,
    batch: Option<(u8, u32, OpenBatch)>,
}

impl<'a> ChunkReader<'a> {
    /// A reader of `opened`.
    #[must_use]
    pub fn new(opened: &'a Opened) -> Self {
        Self { opened, decoder: Decoder::new(), batch: None }
    }

    /// A chunk's bytes.
    ///
    /// # Errors
    /// If they cannot be had, or do not match its digest.
    pub fn read(&mut self, chunk: &ChunkInfo) -> Result<VerifiedChunk, OpenError> {
        let blob = self.opened.blob(chunk.blob)?;
        match chunk.stored {
            Stored::Alone { offset, size, .. } => {
                let stored = self.stored(chunk.blob, offset, u64::from(size))?;
                self.open(chunk, &stored)
            }
            Stored::Batched => {
                let info = self.opened.info_of(chunk.blob)?;
                let place = info.locate(chunk);
                let place = place.map_err(|error| OpenError::Blob { blob: blob.id, error })?;
                let Location::Batched { batch, at } = place else {
                    return Err(failed(chunk, blob.id)(ChunkError::Batch));
                };
                if self.batch.as_ref().map(|(blob, number, _)| (*blob, *number))
                    != Some((chunk.blob, batch.number))
                {
                    let size = u64::from(batch.compressed_size);
                    let stored = self.stored(chunk.blob, batch.offset, size)?;
                    let open = self.open_batch(chunk, &batch, &stored)?;
                    self.batch = Some((chunk.blob, batch.number, open));
                }
                let open = self.batch.as_ref().map(|(_, _, open)| open);
                let open = open.ok_or_else(|| failed(chunk, blob.id)(ChunkError::Batch))?;
                let digester = self.opened.image().digester;
                open.chunk(chunk, digester, at).map_err(failed(chunk, blob.id))
            }
        }
    }

    /// A chunk that is stored alone, from its bytes in the blob.
    ///
    /// # Errors
    /// If they do not match its digest.
    pub fn open(&mut self, chunk: &ChunkInfo, stored: &Bytes) -> Result<VerifiedChunk, OpenError> {
        let blob = self.opened.blob(chunk.blob)?;
        let digester = self.opened.image().digester;
        let opened = self.decoder.open(chunk, blob.compressor, digester, stored);
        opened.map_err(failed(chunk, blob.id))
    }

    /// A batch, from its bytes in the blob; `chunk` is one that lies in it.
    ///
    /// # Errors
    /// If they do not decompress to its length.
    pub fn open_batch(
        &mut self,
        chunk: &ChunkInfo,
        batch: &Batch,
        stored: &Bytes,
    ) -> Result<OpenBatch, OpenError> {
        let blob = self.opened.blob(chunk.blob)?;
        let opened = self.decoder.open_batch(batch, blob.compressor, stored);
        opened.map_err(failed(chunk, blob.id))
    }

    /// Hands a file's chunks to `take`, in order, with their place in the file.
    ///
    /// # Errors
    /// If one cannot be had, or `take` fails.
    pub fn each<E: From<OpenError>>(
        &mut self,
        content: &Content,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let opened = self.opened;
        let mut at = 0_u64;
        for chunk in opened.chunks_of(content) {
            let bytes = self.read(chunk)?;
            take(at, bytes.bytes())?;
            at = at.saturating_add(bytes.bytes().len() as u64);
        }
        Ok(())
    }

    /// Writes a file's bytes.
    ///
    /// # Errors
    /// If a chunk cannot be had, or nobody takes the bytes.
    pub fn copy(&mut self, content: &Content, out: &mut dyn Write) -> Result<(), CopyError> {
        self.each(content, |_, bytes| Ok(out.write_all(bytes)?))
    }

    fn stored(&self, blob: u8, offset: u64, size: u64) -> Result<Bytes, OpenError> {
        let id = self.opened.blob(blob)?.id;
        let stored = self.opened.bytes_of(blob)?.read_at(offset, size);
        stored.map_err(OpenError::read(format_args!("blob {id}")))
    }
}

/// Why a file was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Its bytes cannot be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nobody takes them.
    #[error("the bytes cannot be written")]
    Write(#[from] std::io::Error),
}

fn failed(chunk: &ChunkInfo, blob: BlobId) -> impl FnOnce(ChunkError) -> OpenError {
    let chunk = chunk.digest;
    move |error| OpenError::Chunk { chunk, blob, error }
}
