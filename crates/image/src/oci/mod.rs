//! Manifests, indexes, configs, and what chunked images add to them.
//!
//! What is not known here is kept as it is: an image that went through has lost nothing.

mod manifest;
mod media;
mod platform;

pub use manifest::{Descriptor, Index, Manifest, Top, TopError};
pub use media::{annotation, media_type};
pub use platform::{Platform, PlatformError};
