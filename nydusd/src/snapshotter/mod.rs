//! As nydus-snapshotter starts and drives it: `nydusd fuse …`, a configuration file for each mount,
//! an HTTP API over a unix socket.
//!
//! - [`config`]: the configuration file;
//! - [`asked`], [`refused`], [`told`]: requests and answers of the API, as values;
//! - [`options`], [`daemon`]: what is driven, its states and mounts;
//! - `mounting`: how one image is mounted;
//! - `nodes`, [`caches`]: where chunks are kept, of how many processes there may be;
//! - [`credentials`]: what expires, and is renewed under a running mount;
//! - `answer`, [`serve`](mod@serve): the API, and the life of the process.

mod answer;
pub mod asked;
pub mod caches;
pub mod config;
pub mod credentials;
pub mod daemon;
mod mounting;
mod nodes;
pub mod options;
pub mod refused;
pub mod serve;
pub mod told;
