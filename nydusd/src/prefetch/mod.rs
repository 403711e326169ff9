//! Chunks that come before anybody reads them.
//!
//! - [`order`]: how much of a mount's image, and how fast;
//! - [`first`](mod@first): what whoever mounts it wants first;
//! - [`pace`]: what a rate allows;
//! - [`runner`]: the threads that do it;
//! - [`progress`]: what became of it.

pub mod first;
pub mod order;
pub mod pace;
pub mod progress;
pub mod runner;

pub use order::{PrefetchOrder, What};
pub use progress::PrefetchStats;
