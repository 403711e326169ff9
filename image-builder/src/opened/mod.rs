//! A chunked image, opened for reading: its tree, and every chunk as a checked one.
//!
//! ```text
//!   registry, OCI layout, archive ──┐
//!   bootstrap and a blob folder ────┴──► Opened ──► tree, merkle hashes
//!                                          └──────► ChunkReader ──► verified bytes
//! ```
//!
//! - [`store`]: an image in a registry, a layout folder, an archive;
//! - [`local`]: a bootstrap and a folder of blobs, as `nydus-image` leaves them;
//! - `slot`: each blob's bytes and compression info, opened when they are first asked for;
//! - [`chunks`]: from a chunk to its bytes, never without its digest;
//! - [`find`]: what a path names in the tree, with symbolic links followed or not.

pub mod chunks;
pub mod find;
pub mod local;
mod slot;
pub mod store;

use ::bytes::Bytes;
use content::Digest;
use rafs::{Bootstrap, ChunkId, ChunkInfo, Content, Image, RafsError};
use tree::Tree;

pub use ::image::bytes::{Blobs, NoBlobs, ReadAt};
pub use ::image::{OpenError, Parts, choose};
pub use chunks::ChunkReader;
pub use find::{FindError, Follow};
use slot::Slot;

/// A chunked image.
#[derive(Debug)]
pub struct Opened {
    bootstrap: Bootstrap<Bytes>,
    image: Image,
    hashes: ::merkle::Hashes,
    slots: Vec<Slot>,
    parts: Parts,
}

impl Opened {
    /// Reads and checks all metadata, and the merkle root if the manifest says one. No data blob
    /// is touched.
    ///
    /// # Errors
    /// If the metadata is not that of an image, or of another one than the manifest says.
    pub fn new(parts: Parts) -> Result<Self, OpenError> {
        let bootstrap = Bootstrap::parse(parts.bootstrap.clone())?;
        let image = bootstrap.image()?;
        let hashes = crate::merkle_of(&image).map_err(odd_chunks)?;
        if let Some(said) = parts.root.filter(|said| *said != hashes.root()) {
            return Err(OpenError::Root { said, found: hashes.root() });
        }
        if let Some(beside) = &parts.merkle {
            let told = ::merkle::Hashes::from_bytes(beside, &image.tree);
            let told = told.map_err(|error| OpenError::Beside(error.to_string()))?;
            if told != hashes {
                return Err(OpenError::Beside("a hash is not its file's".to_owned()));
            }
        }
        let slots = image.blobs.iter().map(|_| Slot::default()).collect();
        Ok(Self { bootstrap, image, hashes, slots, parts })
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> &Tree<Content> {
        &self.image.tree
    }

    /// All of the image's metadata.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The bootstrap.
    #[must_use]
    pub const fn bootstrap(&self) -> &Bootstrap<Bytes> {
        &self.bootstrap
    }

    /// The hash of every inode, and the root.
    #[must_use]
    pub const fn hashes(&self) -> &::merkle::Hashes {
        &self.hashes
    }

    /// The root that the manifest says, if it says one: then it is that of [`Self::hashes`].
    #[must_use]
    pub const fn said_root(&self) -> Option<Digest> {
        self.parts.root
    }

    /// Whether the tree's hashes came beside the bootstrap.
    #[must_use]
    pub const fn has_merkle_file(&self) -> bool {
        self.parts.merkle.is_some()
    }

    /// What a file's content is, for the merkle tree.
    ///
    /// # Errors
    /// If a chunk is named that is not there, which opening has ruled out.
    pub fn describe(&self, content: &Content) -> Result<::merkle::FileContent, OpenError> {
        crate::describe(&self.image, content).map_err(odd_chunks)
    }

    /// The chunks of a file, in its order.
    pub fn chunks_of<'a>(&'a self, content: &'a Content) -> impl Iterator<Item = &'a ChunkInfo> {
        content.chunks.iter().filter_map(|id| self.chunk(*id))
    }

    /// A chunk by its place in the table.
    #[must_use]
    pub fn chunk(&self, id: ChunkId) -> Option<&ChunkInfo> {
        self.image.chunks.get(id.0 as usize)
    }
}

/// Reading the bootstrap has ruled it out.
fn odd_chunks(_: rafs::WriteError) -> OpenError {
    let why = "a file has not as many chunks as its length asks for";
    RafsError::Corrupt { what: "chunk indexes", at: 0, why }.into()
}
