//! Images where they lie, and what a chunked one is opened from.
//!
//! Synchronous all through. Only [`store::registry`] has a runtime below it. Read it in this order:
//!
//! - [`place`]: what a command line says of where an image is;
//! - [`oci`]: manifests, indexes, configs, and the media types and annotations of chunked images;
//! - [`store`]: registries, layout folders and archives, all read and written alike;
//! - [`choose`](mod@choose): which of the images under one name is meant;
//! - [`bytes`](mod@bytes): who has the bytes of a data blob, and gives them by range;
//! - [`chunked`], [`local`]: the parts of a chunked image, in a store or as files;
//! - [`root`](mod@root): the merkle root of a bootstrap's tree.

#![forbid(unsafe_code)]

mod beside;
pub mod bytes;
mod causes;
pub mod choose;
pub mod chunked;
mod error;
pub mod local;
pub mod oci;
mod parts;
pub mod place;
pub mod root;
pub mod store;

pub use ::registry;
pub use causes::causes;
pub use error::OpenError;
pub use parts::Parts;
