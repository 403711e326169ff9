//! Why a chunk cannot be had, and why a file cannot be read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rafs::{ChunkDigest, ChunkError, RafsError};
use sparse::SparseError;

/// Why a chunk cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody gives its bytes.
    #[error("chunk {chunk} cannot be fetched")]
    Source {
        /// Which.
        chunk: ChunkDigest,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It may be here, but the image's place does not say that it has the blob.
    #[error("chunk {chunk} is not served: its blob is not confirmed")]
    Refused {
        /// Which.
        chunk: ChunkDigest,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// What came is not the chunk.
    #[error("chunk {chunk} came wrong")]
    Wrong {
        /// Which.
        chunk: ChunkDigest,
        /// In what way.
        #[source]
        error: ChunkError,
    },
    /// The blob does not say where it is.
    #[error("chunk {chunk} is not to be found in its blob")]
    Place {
        /// Which.
        chunk: ChunkDigest,
        /// Why not.
        #[source]
        error: RafsError,
    },
    /// Who fetched it for all is no more.
    #[error("whoever fetched chunk {0} gave up")]
    Abandoned(ChunkDigest),
}

/// Why a file cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The metadata does not say what the file is made of.
    #[error("the image's metadata is wrong")]
    Image(#[from] RafsError),
    /// A chunk cannot be had. Everybody who waited for it is told the same.
    #[error(transparent)]
    Fetch(Arc<FetchError>),
}

/// Why there is no chunk cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be used.
    #[error("the chunk cache {} cannot be used", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Another process has it: two never use one.
    #[error("the chunk cache {} is used by another process", .0.display())]
    InUse(PathBuf),
    /// A file of it cannot be made or opened.
    #[error(transparent)]
    File(#[from] SparseError),
}
