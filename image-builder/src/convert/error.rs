//! Why an image cannot be converted.

use std::io;
use std::path::PathBuf;

use content::Digest;

use crate::store::StoreError;

/// Why an image cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer is not taken.
    #[error("layer {digest}: {error}")]
    Layer {
        /// Which.
        digest: Digest,
        /// Why.
        error: Box<layer::ReadError<ChunkingError>>,
    },
    /// A layer is not what its manifest says.
    #[error("layer {digest}: {error}")]
    OtherLayer {
        /// Which.
        digest: Digest,
        /// Why.
        error: io::Error,
    },
    /// A layer does not fit those under it.
    #[error("layer {digest} does not fit those under it: {error}")]
    Stack {
        /// Which.
        digest: Digest,
        /// Why.
        error: tree::StackError,
    },
    /// A data blob cannot be written.
    #[error(transparent)]
    Chunking(#[from] ChunkingError),
    /// The bootstrap cannot be written.
    #[error("the bootstrap cannot be written: {0}")]
    Bootstrap(#[from] rafs::WriteError),
    /// The bootstrap's layer cannot be written.
    #[error("the bootstrap's layer cannot be written: {0}")]
    Tar(#[from] layer::WriteError),
    /// The config is not one.
    #[error("the image's config {digest} {why}")]
    Config {
        /// Which.
        digest: Digest,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to be done.
    #[error("{0} is a chunked image already")]
    Already(String),
    /// No platform is the one that was asked for.
    #[error("the image has nothing for {asked}; it is for {there}")]
    NoPlatform {
        /// What was asked for.
        asked: String,
        /// What there is.
        there: String,
    },
    /// An index that lists an index.
    #[error("{0} is an index within an index, which nobody says what to do with")]
    Nested(Digest),
    /// A folder cannot be packed.
    #[error("{folder} cannot be packed: {error}", folder = folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is to be fetched first is not there.
    #[error("the image has no {0}, which was to be fetched first")]
    Prefetch(tree::Path),
    /// A dictionary of another format.
    #[error(
        "the dictionary was made with {what} {there} and this image is to have {here}: \
         give both the same"
    )]
    Dictionary {
        /// The option.
        what: &'static str,
        /// How it is in the dictionary.
        there: String,
        /// How it was asked for.
        here: String,
    },
    /// The data of an image that is there already cannot be had.
    #[error("its data cannot be taken over: {0}")]
    NoData(String),
    /// There is something else where the build cache is to be.
    #[error("{0} is no build cache, and is not overwritten: give the cache a name of its own")]
    NoCache(String),
    /// There is no place for a file of ours.
    #[error("no file can be made in the system's temporary folder: {0}")]
    Spooling(io::Error),
    /// Two threads came apart.
    #[error("a thread died; this is a bug of image-builder")]
    Thread,
}

/// Why chunks do not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum ChunkingError {
    /// A file's data cannot be read.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// There is no place for the blob meanwhile.
    #[error("{folder}: {error}; --work-dir names another folder", folder = folder.display())]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The blob takes no more.
    #[error("a data blob cannot be written: {0}")]
    Write(#[from] rafs::WriteError),
    /// A chunk cannot be compressed.
    #[error(transparent)]
    Encode(#[from] rafs::codec::EncodeError),
    /// More chunks than can be numbered.
    #[error("the layer has too many chunks")]
    TooMany,
    /// Something else went wrong first, or the other thread died.
    #[error("stopped, since something else failed")]
    Stopped,
}
