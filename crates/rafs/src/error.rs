//! Why an image is not read or written.

use crate::algorithm::Compressor;

/// Why bytes are not taken as a chunked image's metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RafsError {
    /// It is something else altogether.
    #[error("this is no RAFS v6 image: {0}")]
    NotRafs(&'static str),
    /// It is an image of a kind that is recognised and not read.
    #[error("{0} are not supported")]
    Unsupported(Unsupported),
    /// A part lies, wholly or in part, outside of what there is.
    #[error("{what} at byte {at} has {length} bytes, and there are {there} in all")]
    OutOfBounds {
        /// The part.
        what: &'static str,
        /// Where it should begin.
        at: u64,
        /// How long it should be.
        length: u64,
        /// How long the whole is.
        there: u64,
    },
    /// A part says what cannot be.
    #[error("{what} at byte {at}: {why}")]
    Corrupt {
        /// The part.
        what: &'static str,
        /// Where it begins in the bootstrap, the table or the blob that is read.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A part that is compressed could not be decompressed, or is not what its digest says.
    #[error("{what}: {error}")]
    Section {
        /// The part.
        what: &'static str,
        /// Why not.
        error: ChunkError,
    },
}

impl RafsError {
    pub(crate) const fn corrupt(what: &'static str, at: u64, why: &'static str) -> Self {
        Self::Corrupt { what, at, why }
    }
}

/// Images that are recognised and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The format before this one; convert the image again.
    #[error("images of RAFS v5")]
    Version5,
    /// Their chunks are encrypted.
    #[error("encrypted images")]
    Encrypted,
    /// Their data are ordinary gzip layers with an index.
    #[error("images over gzip layers (zran, OCI reference)")]
    Zran,
    /// Their data are plain tars.
    #[error("images over plain tars (tarfs)")]
    Tarfs,
    /// Some of their data are files of another artefact.
    #[error("images with external blobs")]
    External,
    /// The metadata of a blob lies in another blob.
    #[error("blobs whose chunk information lies in another blob")]
    Separate,
    /// Their chunks are gzip.
    #[error("chunks in gzip")]
    Gzip,
    /// Blocks of 512 bytes.
    #[error("blocks other than 4096 bytes")]
    BlockSize,
    /// A bit that came after this was written.
    #[error("images with unknown features")]
    Feature,
    /// EROFS that compresses by itself, and other ways that RAFS does not use.
    #[error("EROFS images with this data layout")]
    Layout,
    /// Attributes that several inodes share.
    #[error("shared extended attributes")]
    SharedXattrs,
    /// Chunks that are nowhere.
    #[error("chunks that are holes")]
    Holes,
    /// A blob that is not named by its SHA-256.
    #[error("blobs that are not named by their SHA-256")]
    BlobId,
}

/// Why stored bytes are not the chunk that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// There are more or fewer bytes than it takes.
    #[error("{actual} bytes came instead of {expected}")]
    Length {
        /// How many it should be.
        expected: u64,
        /// How many came.
        actual: u64,
    },
    /// The bytes are not of that compression, or not of that length.
    #[error("the bytes do not decompress as {compressor} to {expected} bytes")]
    Decompress {
        /// What they should be.
        compressor: Compressor,
        /// How long they should become, or at most so.
        expected: u64,
    },
    /// The bytes are not what the digest says.
    #[error("the bytes do not match their digest")]
    Digest,
    /// The chunk lies in a batch, and alone was asked for; or the other way round.
    #[error("the chunk lies in a batch of chunks, or not, against what was asked")]
    Batch,
}
