//! From a chunk's bytes to what a blob stores.

use bytes::Bytes;

use crate::algorithm::{ChunkDigest, Compressor, Digester};
use crate::ondisk::MAX_CHUNK_SIZE;

/// A section of metadata, compressed; `None` if it is not to be, or cannot.
pub(crate) fn compress_section(compressor: Compressor, plain: &[u8]) -> Option<Vec<u8>> {
    match compressor {
        Compressor::None => None,
        Compressor::Lz4 => Some(lz4_flex::block::compress(plain)),
        Compressor::Zstd => zstd::bulk::compress(plain, Encoder::LEVEL).ok(),
    }
}

/// Compresses and hashes chunks. Keeps its working memory from one to the next; each thread has
/// its own.
pub struct Encoder {
    compressor: Compressor,
    digester: Digester,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("compressor", &self.compressor).finish_non_exhaustive()
    }
}

/// A chunk, or a batch, as it will lie in a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// The digest of the bytes before.
    pub digest: ChunkDigest,
    /// Their length, in bytes.
    pub uncompressed_size: u32,
    /// What is stored.
    pub stored: Bytes,
    /// Whether that is compressed.
    pub compressed: bool,
}

/// The encoder could not be made, or the bytes are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// There is no memory for it, or no such level.
    #[error("the compressor does not work at this level")]
    Compressor,
    /// A chunk has 1 byte to 16 MiB.
    #[error("{0} bytes are no chunk")]
    Length(usize),
}

impl Encoder {
    /// zstd's own default level, which `nydus-image` takes too.
    pub const LEVEL: i32 = 3;

    /// An encoder. `level` is zstd's, from -7 to 22; the others have none.
    ///
    /// # Errors
    /// If the compressor does not work at that level.
    pub fn new(
        compressor: Compressor,
        digester: Digester,
        level: i32,
    ) -> Result<Self, EncodeError> {
        let zstd = match compressor {
            Compressor::Zstd => {
                Some(zstd::bulk::Compressor::new(level).map_err(|_| EncodeError::Compressor)?)
            }
            Compressor::None | Compressor::Lz4 => None,
        };
        Ok(Self { compressor, digester, zstd })
    }

    /// How it compresses.
    #[must_use]
    pub const fn compressor(&self) -> Compressor {
        self.compressor
    }

    /// How it hashes.
    #[must_use]
    pub const fn digester(&self) -> Digester {
        self.digester
    }

    /// A chunk's digest, and its bytes as they will be stored: as they are unless they shrink.
    ///
    /// # Errors
    /// If there are no bytes or more than 16 MiB, or there is no memory.
    pub fn encode(&mut self, plain: Bytes) -> Result<Encoded, EncodeError> {
        let digest = self.digester.digest(&plain);
        self.compress(plain, digest)
    }

    /// [`Self::encode`] with a digest that is known, or that nobody asks for.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn compress(&mut self, plain: Bytes, digest: ChunkDigest) -> Result<Encoded, EncodeError> {
        let size =
            u32::try_from(plain.len()).ok().filter(|size| (1..=MAX_CHUNK_SIZE).contains(size));
        let uncompressed_size = size.ok_or(EncodeError::Length(plain.len()))?;
        let smaller = match (self.compressor, &mut self.zstd) {
            (Compressor::Lz4, _) => Some(lz4_flex::block::compress(&plain)),
            (Compressor::Zstd, Some(zstd)) => {
                Some(zstd.compress(&plain).map_err(|_| EncodeError::Compressor)?)
            }
            _ => None,
        };
        let smaller = smaller.filter(|smaller| smaller.len() < plain.len());
        let compressed = smaller.is_some();
        let stored = smaller.map_or(plain, Bytes::from);
        Ok(Encoded { digest, uncompressed_size, stored, compressed })
    }
}
