//! The merkle tree of an image in memory.

use merkle::{Algorithm, FileContent, Hashes};
use rafs::{Content, Digester, Image, WriteError};

/// Every inode's hash, and the root.
///
/// # Errors
/// If a file's chunks are not there, or not as many as its length says.
pub fn merkle_of(image: &Image) -> Result<Hashes, WriteError> {
    Hashes::of(&image.tree, |content| describe(image, content))
}

/// What the merkle tree says of a file.
///
/// # Errors
/// If its chunks are not there, or not as many as its length says.
pub fn describe(image: &Image, content: &Content) -> Result<FileContent, WriteError> {
    let algorithm = match image.digester {
        Digester::Sha256 => Algorithm::Sha256,
        Digester::Blake3 => Algorithm::Blake3,
    };
    let chunk = |id: &rafs::ChunkId| image.chunks.get(id.0 as usize);
    let digests = content.chunks.iter().filter_map(chunk).map(|chunk| chunk.digest.0);
    FileContent::new(algorithm, image.chunk_size.bytes(), content.size, digests)
        .ok_or(WriteError::Chunks(tree::InodeId::ROOT))
}
