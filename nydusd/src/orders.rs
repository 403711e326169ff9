//! What a process that serves mounts is told, and tells.

use std::path::PathBuf;
use std::time::Duration;

use content::Digest;
use image::store::Access;
use lazy::ChunkStats;
use serde::{Deserialize, Serialize};

use crate::driver::Driver;
use crate::fuse::files::Counting;
use crate::prefetch::{PrefetchOrder, PrefetchStats};
use crate::tally::ReadStats;

/// What is to be mounted, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The image, as on the command line. Paths are whole.
    pub image: String,
    /// Where: a whole path.
    pub at: PathBuf,
    /// The way into the kernel.
    pub driver: Driver,
    /// With a bootstrap: the folder of its blobs.
    pub blob_dir: Option<PathBuf>,
    /// Of several images under one name, which.
    pub platform: Option<String>,
    /// How its registry is reached.
    #[serde(default)]
    pub access: Access,
    /// What is fetched before it is read.
    #[serde(default)]
    pub prefetch: PrefetchOrder,
}

/// How an image is mounted.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// The way into the kernel.
    pub driver: Driver,
    /// What is fetched before it is read.
    pub prefetch: &'a PrefetchOrder,
    /// What is counted of its files.
    pub counting: Counting,
}

/// How a process gets and keeps chunks, for all of its mounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Supply {
    /// How many bytes of chunks are kept.
    pub quota: u64,
    /// The socket of the node's dfdaemon, which need not be there.
    pub dfdaemon: PathBuf,
    /// How long a read waits while nobody gives what it wants.
    pub read_limit: Duration,
}

/// One mount, as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Where.
    pub at: PathBuf,
    /// What.
    pub image: String,
    /// How many bytes of chunks were fetched for the blobs that it uses, uncompressed.
    pub fetched: u64,
    /// How many bytes the chunk cache holds of these blobs.
    pub held: u64,
    /// Why it is not mounted, though it was before the process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Told {
    /// What is not mounted, and why.
    #[must_use]
    pub const fn failed(at: PathBuf, image: String, why: String) -> Self {
        Self { at, image, fetched: 0, held: 0, failed: Some(why) }
    }
}

/// What became of one mount's reads and chunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stats {
    /// Where.
    pub at: PathBuf,
    /// What.
    pub image: String,
    /// Its manifest, if it has one.
    pub manifest: Option<Digest>,
    /// The way into the kernel that was taken.
    pub driver: Driver,
    /// The bytes of all its blobs, uncompressed.
    pub size: u64,
    /// Its reads, as far as the kernel asks for them.
    pub reads: ReadStats,
    /// The chunks of its blobs, which others may share.
    pub chunks: ChunkStats,
    /// What was fetched before it was read, if anything was to be.
    #[serde(default)]
    pub prefetch: Option<PrefetchStats>,
}
