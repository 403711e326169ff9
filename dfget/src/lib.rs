//! One file by URL through the swarm.
//!
//! - [`args`]: what may be said; [`source`]: what is to be fetched;
//! - [`get`]: the way of a file, from the question to its final name;
//! - [`daemon`]: through the node's `dfdaemon`; [`alone`]: without it;
//! - [`part`]: the file while it arrives; [`progress`]: what is shown meanwhile;
//! - [`error`]: what went wrong, and the exit code that says so.

pub mod alone;
pub mod args;
pub mod daemon;
pub mod error;
pub mod get;
pub mod part;
pub mod progress;
pub mod source;
