//! A chunked image back to what it was made from: a layer's tar, or a directory.
//!
//! - [`tar`]: the whole image as one layer, the same bytes each time;
//! - [`directory`]: files on disk, never outside of the target;
//! - `place`, `file`: the parts of that.

pub mod directory;
mod file;
mod place;
pub mod tar;

use std::io;

use tree::Path;

use crate::opened::OpenError;

pub use directory::{Owners, Unpacked, to_directory};
pub use tar::to_tar;

/// Why an image was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The image cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target is there and has something in it.
    #[error("{0} is not empty: name a directory that is empty or not there yet")]
    NotEmpty(String),
    /// The target cannot be made or opened.
    #[error("{path} cannot be made a directory to unpack into")]
    Target {
        /// The target.
        path: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Something in the target cannot be made.
    #[error("{path} cannot be made: {what}")]
    Make {
        /// Its path in the image.
        path: Path,
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Owners and devices are root's to make.
    #[error(
        "only root gives files away: run as root, or with --no-owners, which keeps your own \
         ownership and leaves devices out"
    )]
    NotRoot,
    /// The tar cannot be written.
    #[error(transparent)]
    Tar(layer::WriteError),
}
