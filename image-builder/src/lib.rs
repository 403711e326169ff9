//! An OCI image to a chunked image, and back.

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod compare;
pub mod diff;
pub mod export;
pub mod inspect;
pub mod layers;
pub mod ls;
pub mod opened;
pub mod prove;
pub mod stat;
pub mod text;
pub mod unpack;
mod zeros;
