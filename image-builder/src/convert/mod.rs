//! OCI images to chunked images.
//!
//! ```text
//! layer ─► verify ─► inflate ─► cut, hash ─► compress ─► hash ─► spool file ─► target
//!                               └─► tree ─► all layers' trees, stacked ─► bootstrap ─► target
//! ```
//!
//! Each layer goes through two threads ([`layer`]), several layers at once. No layer is ever held
//! or unpacked: what is in memory is the trees, and the chunks on their way, under one budget for
//! all layers.

mod assemble;
mod blob;
mod bootstrap;
mod budget;
mod cache;
mod chunker;
mod copy;
mod dictionary;
mod error;
mod image;
mod layer;
mod options;
mod packing;
mod progress;
mod publish;
mod spool;

pub(crate) use assemble::{Cut, Part, assemble};
pub use cache::{BuildCache, RECORDS};
pub use dictionary::Dictionary;
pub use error::{ChunkingError, ConvertError};
pub use options::{Format, Options, Publish};
pub(crate) use packing::Packing;
pub use progress::Progress;
pub use publish::{Made, Report, convert};
