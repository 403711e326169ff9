//! The merkle tree of an image in memory.

use merkle::{Algorithm, FileContent, Hashes};
use rafs::{Content, Digester, Image, RafsError};

use super::OpenError;

pub(super) fn hashes(image: &Image) -> Result<Hashes, OpenError> {
    Hashes::of(&image.tree, |content| describe(image, content))
}

pub(super) fn describe(image: &Image, content: &Content) -> Result<FileContent, OpenError> {
    let algorithm = match image.digester {
        Digester::Sha256 => Algorithm::Sha256,
        Digester::Blake3 => Algorithm::Blake3,
    };
    let chunks = content.chunks.iter().map(|id| image.chunks.get(id.0 as usize));
    let digests = chunks.flatten().map(|chunk| chunk.digest.0);
    FileContent::new(algorithm, image.chunk_size.bytes(), content.size, digests).ok_or_else(|| {
        let why = "a file has not as many chunks as its length asks for";
        RafsError::Corrupt { what: "chunk indexes", at: 0, why }.into()
    })
}
