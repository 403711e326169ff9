//! A bootstrap and its blobs as files, as `nydus-image` leaves them.

use std::path::Path;

pub use image::local::{BlobsAt, bootstrap_at, has_sections};

use super::{OpenError, Opened};

/// Opens the image whose bootstrap is the file `bootstrap`, or lies in that file: a data blob
/// with its bootstrap in it.
///
/// # Errors
/// If the files cannot be read, or are no image.
pub fn open(bootstrap: &Path, blobs: &BlobsAt) -> Result<Opened, OpenError> {
    Opened::new(image::local::parts(bootstrap, blobs)?)
}
