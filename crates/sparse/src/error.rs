//! What can go wrong with a sparse file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a sparse file could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum SparseError {
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The side file is no block map, or not one of this version.
    #[error("{} is no block map: {why}", path.display())]
    BadMap {
        /// The side file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file would have no blocks, or more than can be counted.
    #[error("{length} bytes cannot be cut into blocks of {block_size}")]
    Shape {
        /// The length that was asked for.
        length: u64,
        /// The block size that was asked for.
        block_size: u32,
    },
    /// There is no such block, or the bytes do not fill it.
    #[error("{bytes} bytes do not make block {block} of {}", path.display())]
    NoSuchBlock {
        /// The data file.
        path: PathBuf,
        /// The block's number.
        block: u32,
        /// How many bytes were given.
        bytes: usize,
    },
    /// The file was deleted while somebody still held it.
    #[error("{} was deleted", path.display())]
    Deleted {
        /// The data file.
        path: PathBuf,
    },
}

impl SparseError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// The operating system's error, if it was one.
    #[must_use]
    pub const fn as_io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
