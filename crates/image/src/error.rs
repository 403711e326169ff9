//! Why an image cannot be opened, or not be read on.

use std::io;

use content::Digest;
use rafs::{BlobId, ChunkDigest, RafsError};

use crate::store::StoreError;

/// Why an image cannot be opened, or not be read on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something could not be read at all.
    #[error("{what} cannot be read")]
    Read {
        /// What.
        what: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The metadata is not taken.
    #[error("the image's metadata is wrong")]
    Image(#[from] RafsError),
    /// The bytes of a blob, or of its metadata, are not taken.
    #[error("blob {blob} is wrong")]
    Blob {
        /// Which.
        blob: BlobId,
        /// Why.
        #[source]
        error: RafsError,
    },
    /// A chunk's bytes are not what its digest says.
    #[error("chunk {chunk} of blob {blob} is wrong")]
    Chunk {
        /// Which.
        chunk: ChunkDigest,
        /// Of which blob.
        blob: BlobId,
        /// Why.
        #[source]
        error: rafs::ChunkError,
    },
    /// The manifest says another root than the tree has.
    #[error("the manifest says the merkle root {said}, and the tree has {found}")]
    Root {
        /// What the annotation says.
        said: Digest,
        /// What the tree has.
        found: Digest,
    },
    /// Where the image is says no.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The bootstrap layer is no tar.
    #[error("the bootstrap layer {layer} cannot be read")]
    Layer {
        /// Which.
        layer: Digest,
        /// Why.
        #[source]
        error: layer::TarError,
    },
    /// The bootstrap layer has no bootstrap.
    #[error("the layer {0} is marked as the bootstrap's and has no image/image.boot")]
    NoBootstrap(Digest),
    /// The merkle root in the manifest is no digest.
    #[error("the manifest says the merkle root {0:?}, which is no digest")]
    RootText(String),
    /// It is an ordinary image.
    #[error("it is no chunked image; `image-builder convert` makes one of it")]
    NotChunked,
    /// There is none, or there are several.
    #[error("{0}")]
    Choice(String),
    /// The hashes that travel beside the bootstrap are not the tree's.
    #[error("the merkle tree beside the bootstrap is wrong: {0}")]
    Beside(String),
}

impl OpenError {
    /// Makes an I/O error one of reading `what`.
    pub fn read(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Read { what: what.to_string(), error }
    }

    /// Whether the image is at fault: it says one thing and is another. Otherwise something else
    /// is: a disk, a network, a name that was mistyped.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Read { error, .. } => error.kind() == io::ErrorKind::InvalidData,
            Self::Image(error) | Self::Blob { error, .. } => {
                !matches!(error, RafsError::Unsupported(_))
            }
            Self::Store(error) => matches!(
                &**error,
                StoreError::OtherDigest { .. }
                    | StoreError::Document { .. }
                    | StoreError::NoSuchBlob { .. }
            ),
            Self::Layer { error, .. } => match error {
                // Decompressors say all of these of bytes that are not theirs.
                layer::TarError::Read(error) => matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::UnexpectedEof
                ),
                _ => true,
            },
            Self::Chunk { .. }
            | Self::Root { .. }
            | Self::RootText(_)
            | Self::NoBootstrap(_)
            | Self::Beside(_) => true,
            Self::NotChunked | Self::Choice(_) => false,
        }
    }
}
