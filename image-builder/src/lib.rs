//! An OCI image to a chunked image, and back.

#![forbid(unsafe_code)]

pub mod check;
pub mod compare;
pub mod diff;
pub mod export;
pub mod layers;
pub mod opened;
pub mod prove;
pub mod unpack;
mod zeros;
