//! The kernel calls that Rust has no safe wrapper for: all unsafe code lives here.

mod mapping;

pub use mapping::Mapping;
