//! OCI images to chunked images, and back.
//!
//! Synchronous all through: the work is hashing and compressing, in threads of its own. Only
//! [`store::registry`] has a runtime below it. Read it in this order:
//!
//! - [`place`], [`oci`], [`store`] of the crate `image`: where images lie, and what stands there;
//! - [`convert`]: layers become data blobs, trees become one bootstrap, both become an image;
//! - [`opened`]: a chunked image opened for reading, every chunk checked;
//! - [`mod@check`], [`compare`], [`layers`]: whether it is what it says, and what it was made from;
//! - [`unpack`], [`export`]: back to a tar or a directory, or to one disk image;
//! - [`inspect`], [`ls`], [`stat`], [`diff`], [`prove`]: what can be asked of it;
//! - [`text`]: how that is said;
//! - [`folder`], [`pack`]: a folder becomes an image of one layer;
//! - [`merge`](mod@merge): bootstraps of single layers become one;
//! - [`cli`]: the commands, which only say what to do.

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod compare;
pub mod convert;
pub mod diff;
pub mod export;
pub mod folder;
pub mod inspect;
mod layer_tree;
pub mod layers;
pub mod ls;
pub mod merge;
mod merkle_of;
pub mod opened;
pub mod pack;
pub mod prove;
pub mod stat;
pub mod text;
pub mod unpack;
mod zeros;

pub use image::{oci, place, store};
pub use merkle_of::{describe, merkle_of};
