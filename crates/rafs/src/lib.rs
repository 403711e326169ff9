//! The chunked image on disk: Nydus RAFS v6.
//!
//! An image is a *bootstrap*, which has the tree and says where each file's chunks lie, and *data
//! blobs*, which have the chunks. The bootstrap is an EROFS image that the Linux kernel mounts.
//! `docs/image-format.md` describes both field by field.
//!
//! Pure: on slices, no I/O, no clock. Read it in this order:
//!
//! - [`ondisk`]: every structure, offset and limit, and nothing else;
//! - [`bootstrap`]: the tree, read and checked;
//! - [`blob`], [`chunk`]: what the bootstrap knows of data blobs and chunks;
//! - [`ci`]: what a data blob says of its own chunks;
//! - [`codec`]: stored bytes become a chunk, once they match its digest;
//! - [`section`]: the parts of a data blob, and its table of contents;
//! - [`image`]: a whole image in memory;
//! - [`write`]: its bootstrap, written.

pub mod algorithm;
pub mod blob;
pub mod bootstrap;
pub mod chunk;
pub mod ci;
pub mod codec;
mod error;
pub mod image;
pub mod ondisk;
pub mod section;
mod slice;
pub mod write;

pub use algorithm::{ChunkDigest, ChunkSize, Compressor, Digester};
pub use blob::{Blob, BlobId};
pub use bootstrap::Bootstrap;
pub use chunk::{ChunkInfo, Stored};
pub use ci::CompressionInfo;
pub use codec::{Decoder, Encoder, VerifiedChunk};
pub use error::{ChunkError, RafsError, Unsupported};
pub use image::{ChunkId, Content, Image};
pub use write::WriteError;
