//! One layer: its tree, and its data blob.
//!
//! Two threads: one reads, checks, inflates, cuts and hashes; the other compresses, hashes the blob
//! and writes it. What they do is about the same work. Chunks go from one to the other in order,
//! so the blob's bytes depend on nothing but the layer and the options: a layer that was converted
//! once need not be again, whatever lies under it. That is why a chunk that a lower layer has too
//! is stored again; the bootstrap names the lowest, and nobody fetches the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use content::Digest;
use rafs::write::{BlobOptions, BlobWriter, Finished};
use rafs::{ChunkInfo, Content, Encoder, WriteError};
use tree::Layer;

use super::assemble::Part;
use super::blob::DataBlob;
use super::budget::Budget;
use super::cache::BuildCache;
use super::chunker::{Borrowed, Chunk, Chunker};
use super::dictionary::Dictionary;
use super::error::{ChunkingError, ConvertError};
use super::options::Format;
use super::progress::{Progress, Watched};
use super::spool::SpoolFolder;
use crate::oci::Descriptor;
use crate::store::Store;

/// So many small chunks may wait for the other thread; their bytes are in the budget.
const WAITING: usize = 256;

/// What a layer became.
#[derive(Clone, Debug)]
pub(crate) struct Converted {
    /// Its tree; files name chunks by their place in the next list.
    pub(crate) layer: Layer<Content>,
    /// Its chunks, each in a blob of the next list.
    pub(crate) chunks: Vec<ChunkInfo>,
    /// Its data blob, unless no file has data of its own, and what it needs of the dictionary's.
    pub(crate) blobs: Vec<DataBlob>,
}

/// What all layers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) format: Format,
    pub(crate) reading: layer::Options,
    pub(crate) budget: Budget,
    pub(crate) spool: SpoolFolder,
    pub(crate) prefetch: Vec<tree::Path>,
    pub(crate) dictionary: Option<Arc<Dictionary>>,
    pub(crate) cache: Option<Arc<BuildCache>>,
}

impl Converted {
    /// The layer as a part of an image; `digest` is what errors call it.
    pub(crate) fn part(self, digest: Digest) -> Part<DataBlob> {
        let Self { layer, chunks, blobs } = self;
        Part { digest, layer, chunks, blobs }
    }
}

/// Converts a layer of `source`.
pub(crate) fn convert(
    source: &dyn Store,
    from: &Descriptor,
    shared: &Shared,
    progress: &Progress,
) -> Result<Converted, ConvertError> {
    let input = source.read_blob(from)?;
    convert_stream(Watched { inner: input, progress }, from.digest, shared)
}

/// Converts the layer that `input` reads; `digest` is what errors call it.
pub(crate) fn convert_stream(
    mut input: impl Read,
    digest: Digest,
    shared: &Shared,
) -> Result<Converted, ConvertError> {
    let (send, receive) = sync_channel(WAITING);
    let dictionary = shared.dictionary.as_deref();
    let mut chunker = Chunker::new(shared.format, &shared.budget, dictionary, send);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(receive, shared));
        let read = layer::read_layer(&mut input, &shared.reading, |_, data| chunker.take(data));
        // The other thread ends when no more chunks can come.
        let borrowed = chunker.finish();
        let own = writer.join().map_err(|_| ConvertError::Thread)??;
        let layer = read.map_err(|error| ConvertError::Layer { digest, error: Box::new(error) })?;
        // What follows the tar belongs to what the digest says, too.
        std::io::copy(&mut input, &mut std::io::sink())
            .map_err(|error| ConvertError::OtherLayer { digest, error })?;
        converted(layer, own, borrowed, dictionary)
    })
}

/// A layer with its own chunks and those of the dictionary in one list.
fn converted(
    layer: Layer<Content>,
    own: Option<(Finished, Arc<File>)>,
    borrowed: Vec<Borrowed>,
    dictionary: Option<&Dictionary>,
) -> Result<Converted, ConvertError> {
    let mut own = own;
    let chunks = own.as_mut().map(|(own, _)| std::mem::take(&mut own.chunks)).unwrap_or_default();
    let mut blobs: Vec<_> = own.into_iter().map(|(own, file)| DataBlob::new(own, file)).collect();
    let Some(dictionary) = dictionary.filter(|_| !borrowed.is_empty()) else {
        return Ok(Converted { layer, chunks, blobs });
    };
    let mut all = Vec::with_capacity(chunks.len().saturating_add(borrowed.len()));
    let mut own = chunks.into_iter();
    // By the dictionary's numbers.
    let mut numbers = BTreeMap::<u8, u8>::new();
    for Borrowed { number, mut chunk } in borrowed {
        all.extend(own.by_ref().take((number as usize).saturating_sub(all.len())));
        chunk.blob = match numbers.get(&chunk.blob) {
            Some(number) => *number,
            None => {
                let lent = dictionary.blobs.get(usize::from(chunk.blob));
                let next = u8::try_from(blobs.len()).map_err(|_| WriteError::Blobs(blobs.len()))?;
                blobs.push(lent.ok_or(ConvertError::Thread)?.clone());
                numbers.insert(chunk.blob, next);
                next
            }
        };
        all.push(chunk);
    }
    all.extend(own);
    Ok(Converted { layer, chunks: all, blobs })
}

/// Writes the chunks that come to a blob.
fn write(
    chunks: Receiver<Chunk<'_>>,
    shared: &Shared,
) -> Result<Option<(Finished, Arc<File>)>, ChunkingError> {
    let Format { chunk_size, batch_size, compressor, level, digester } = shared.format;
    let encoder = || Encoder::new(compressor, digester, level);
    let (number, contents, inline_bootstrap) = (0, true, false);
    let options = BlobOptions { number, chunk_size, batch_size, contents, inline_bootstrap };
    let mut blob = BlobWriter::new(options, encoder()?);
    let mut alone = encoder()?;
    let mut spool = shared.spool.file()?;
    let mut out: Vec<Bytes> = Vec::new();
    for chunk in chunks {
        if blob.is_small(chunk.plain.len()) {
            blob.push_small(&chunk.plain, chunk.digest, &mut out)?;
        } else {
            let encoded = alone.compress(chunk.plain, chunk.digest)?;
            blob.push(encoded, &mut out)?;
        }
        spool.append(&mut out)?;
    }
    if blob.is_empty() {
        return Ok(None);
    }
    let tail = blob.finish_chunks(&mut out)?;
    let finished = tail.finish(None, &mut out)?;
    spool.append(&mut out)?;
    Ok(Some((finished, spool.done())))
}
