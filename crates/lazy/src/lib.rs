//! Chunks of an image when they are read: from the node's chunk cache or from afar, always verified.
//!
//! ```text
//!   a read of a file ──► parts of chunks ──► known to the ledger? ──► bytes of the cache file
//!                                                  │ no
//!                                                  ▼
//!                        one flight a chunk: recorded on disk, and right? ──► ledger
//!                                                  │ no
//!                                                  ▼
//!                        source ──► decompressed, checked ──► cache file ──► ledger
//! ```
//!
//! No bytes reach a reader unless this process has seen them match the digest that the reader's own
//! bootstrap has of them. Synchronous: who reads may wait, in a thread of its own. Read it in this
//! order:
//!
//! - [`parts`](mod@parts): which chunks a read of a file takes;
//! - [`ledger`]: what was verified since the start, and under which digest;
//! - [`flight`]: many who want one chunk wait for one fetch;
//! - [`blob`]: the chunk cache of one data blob;
//! - [`device`]: a blob that is all here, for the kernel to read by itself;
//! - [`cache`]: the caches of all blobs of a node, in a folder;
//! - [`counts`]: what became of chunks;
//! - [`room`]: how much all of them may take, and what goes first;
//! - [`source`]: who has what is not in the cache;
//! - [`fetch`]: from a blob's stored bytes to a chunk;
//! - [`patience`]: asking again while who has it is away;
//! - [`run`](mod@run): chunks that lie behind one another, asked for together;
//! - [`right`]: whether a mount may have what the cache holds;
//! - [`image`](mod@image): a bootstrap and its blobs: files that can be read;
//! - [`plan`]: what is prefetched, and in which order.

#![forbid(unsafe_code)]

pub mod blob;
mod budget;
pub mod cache;
pub mod counts;
pub mod device;
mod error;
mod extents;
pub mod fetch;
pub mod flight;
pub mod image;
pub mod ledger;
mod lock;
mod neighbours;
pub mod parts;
pub mod patience;
pub mod plan;
mod prefetch;
pub mod right;
pub mod room;
pub mod run;
pub mod source;

pub use blob::CachedBlob;
pub use budget::{Budget, Taken};
pub use cache::{BlobKey, ChunkCache};
pub use counts::ChunkStats;
pub use device::Device;
pub use error::{CacheError, FetchError, ReadError};
pub use image::{BlobFrom, LazyImage, Of};
pub use plan::{Extent, Left, Plan, Standing, Step};
pub use prefetch::{Checked, Outcome};
pub use source::{Source, Urgency, Want};
