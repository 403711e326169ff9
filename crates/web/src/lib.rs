//! HTTP/1.1 as every daemon serves it: a bounded number of connections, each with so much patience,
//! all ended in order when the process stops.
//!
//! Not HTTP/2: a stream of it that fails ends by a reset, after which containerd gives a pull up; a
//! connection of HTTP/1.1 ends in order, and containerd resumes. `axum::serve` cannot be told so: it
//! speaks whatever any crate of the program has switched on, to as many as come, for as long as they
//! like.
//!
//! - [`listen`]: lets connections in;
//! - [`converse`]: answers the requests of one;
//! - [`status`]: the pages that every daemon has, for probes and Prometheus.

mod converse;
mod listen;
pub mod status;

pub use converse::converse;
pub use listen::{Limits, listen};
