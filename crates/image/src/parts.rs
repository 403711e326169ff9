//! What a chunked image is opened from.

use std::collections::HashMap;

use ::bytes::Bytes;
use content::Digest;

use crate::bytes::Blobs;

/// What an image is opened from, once somebody found it.
#[derive(Debug)]
pub struct Parts {
    /// The bootstrap.
    pub bootstrap: Bytes,
    /// Who has the data blobs.
    pub blobs: Box<dyn Blobs>,
    /// The blobs' compression info as files, where it came beside the bootstrap.
    pub metas: HashMap<Digest, Bytes>,
    /// The hashes of the tree, where they came beside the bootstrap.
    pub merkle: Option<Bytes>,
    /// The root that the manifest says.
    pub root: Option<Digest>,
}
