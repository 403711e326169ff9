//! The kernel calls that Rust has no safe wrapper for: all unsafe code lives here.

mod heap;
mod mapping;

pub use heap::keep_large_allocations_apart;
pub use mapping::Mapping;
