//! What of a blob is read and compared: chunks that lie alone, and batches, in the blob's order.

use std::collections::BTreeMap;

use rafs::ci::{Batch, Location};
use rafs::{ChunkInfo, CompressionInfo, RafsError};

/// Something that lies by itself in a blob.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// Its length there, in bytes.
    pub(super) size: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Alone(ChunkInfo),
    /// Chunks, and where each begins in the batch.
    Batch(Batch, Vec<(ChunkInfo, u32)>),
}

/// The pieces of one blob that the image uses, by offset, and the chunks that cannot be found.
pub(super) fn pieces(
    chunks: &[ChunkInfo],
    blob: u8,
    info: &CompressionInfo,
) -> (Vec<Piece>, Vec<(ChunkInfo, RafsError)>) {
    let mut pieces = Vec::new();
    let mut batches: BTreeMap<u32, (Batch, Vec<(ChunkInfo, u32)>)> = BTreeMap::new();
    let mut lost = Vec::new();
    for chunk in chunks.iter().filter(|chunk| chunk.blob == blob) {
        match info.locate(chunk) {
            Ok(Location::Alone { offset, size }) => {
                pieces.push(Piece { offset, size: u64::from(size), what: What::Alone(*chunk) });
            }
            Ok(Location::Batched { batch, at }) => {
                let (first, chunks) =
                    batches.entry(batch.number).or_insert_with(|| (batch, Vec::new()));
                if *first == batch {
                    chunks.push((*chunk, at));
                } else {
                    let why = "two chunks say different places of one batch";
                    let at = u64::from(batch.number);
                    lost.push((*chunk, RafsError::Corrupt { what: "batches", at, why }));
                }
            }
            Err(error) => lost.push((*chunk, error)),
        }
    }
    pieces.extend(batches.into_values().map(|(batch, chunks)| Piece {
        offset: batch.offset,
        size: u64::from(batch.compressed_size),
        what: What::Batch(batch, chunks),
    }));
    pieces.sort_by_key(|piece| piece.offset);
    (pieces, lost)
}
