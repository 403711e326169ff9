//! A chunked image where images are: a registry, a layout folder, an archive.

use std::sync::Arc;

use content::Digest;
pub use image::chunked::Reach;

use crate::oci::Manifest;
use crate::store::{Document, Store};

use super::{OpenError, Opened};

/// A chunked image with what stands around it.
#[derive(Debug)]
pub struct Chunked {
    /// The image.
    pub opened: Opened,
    /// Its manifest.
    pub document: Document,
    /// Where it is.
    pub store: Arc<dyn Store>,
    /// The digest of the bootstrap layer, uncompressed.
    pub bootstrap_diff_id: Digest,
}

impl Chunked {
    /// What its manifest says.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.document.manifest()
    }
}

/// Opens the image that `document`, a manifest, is of.
///
/// # Errors
/// If it is no chunked image, or cannot be read, or is another one than it says.
pub fn open(store: Arc<dyn Store>, document: Document, reach: Reach) -> Result<Chunked, OpenError> {
    let found = image::chunked::parts(&store, &document, reach)?;
    let opened = Opened::new(found.parts)?;
    Ok(Chunked { opened, document, store, bootstrap_diff_id: found.bootstrap_diff_id })
}
