//! OCI images to chunked images, and back.
//!
//! Synchronous all through: the work is hashing and compressing, in threads of its own. Only
//! [`store::registry`] has a runtime below it. Read it in this order:
//!
//! - [`place`]: what a command line says of where an image is;
//! - [`oci`]: manifests, indexes, configs, and the media types and annotations of chunked images;
//! - [`store`]: registries, layout folders and archives, all read and written alike;
//! - [`convert`]: layers become data blobs, trees become one bootstrap, both become an image;
//! - [`folder`], [`pack`]: a folder becomes an image of one layer;
//! - [`merge`](mod@merge): bootstraps of single layers become one;
//! - [`cli`]: the commands, which only say what to do.

#![forbid(unsafe_code)]

pub mod cli;
pub mod convert;
pub mod folder;
pub mod merge;
mod merkle_of;
pub mod oci;
pub mod pack;
pub mod place;
pub mod store;

pub use merkle_of::{describe, merkle_of};
