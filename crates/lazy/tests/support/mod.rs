//! Chunks of no image in particular.

#![allow(dead_code, reason = "each test uses a part")]

use bytes::Bytes;
use rafs::{ChunkInfo, Digester, Stored, VerifiedChunk};

/// Bytes of a kind.
pub(crate) fn bytes(kind: u8, length: usize) -> Bytes {
    (0..=250_u8).map(|at| at ^ kind).cycle().take(length).collect()
}

/// The chunk of these bytes that begins at block `block`.
pub(crate) fn chunk(block: u64, bytes: &Bytes) -> ChunkInfo {
    let size = u32::try_from(bytes.len()).unwrap();
    ChunkInfo {
        digest: Digester::Sha256.digest(bytes),
        blob: 0,
        index: u32::try_from(block).unwrap(),
        uncompressed_offset: block * 4096,
        uncompressed_size: size,
        stored: Stored::Alone { offset: 0, size, compressed: false },
    }
}

pub(crate) fn verified(info: &ChunkInfo, bytes: &Bytes) -> VerifiedChunk {
    VerifiedChunk::check(info, Digester::Sha256, bytes.clone()).unwrap()
}
