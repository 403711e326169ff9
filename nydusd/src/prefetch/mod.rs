//! Chunks that come before anybody reads them.
//!
//! - [`order`]: how much of a mount's image, and how fast;
//! - [`pace`]: what a rate allows;
//! - [`runner`]: the threads that do it.

pub mod order;
pub mod pace;
pub mod runner;

pub use order::{PrefetchOrder, What};
