//! How an image is converted.

use std::path::PathBuf;
use std::sync::Arc;

use rafs::{ChunkSize, Compressor, Digester, Encoder};

use super::cache::BuildCache;
use super::dictionary::Dictionary;
use crate::oci::Platform;

/// How an image is converted.
#[derive(Clone, Debug)]
pub struct Options {
    /// How files are cut, and how chunks are stored.
    pub format: Format,
    /// Which platforms of an index; all if empty.
    pub platforms: Vec<Platform>,
    /// How many layers are converted at once; each takes up to two cores.
    pub jobs: usize,
    /// Where data blobs lie until they are in the target; `None` for the system's place.
    pub work_dir: Option<PathBuf>,
    /// How layers are read.
    pub reading: layer::Options,
    /// What is put beside the chunked image.
    pub publish: Publish,
    /// Whether the manifest is Docker's and not OCI's.
    pub docker: bool,
    /// What is to be fetched first, each with all below it; everything, if empty.
    pub prefetch: Vec<tree::Path>,
    /// An image whose chunks need not be stored again.
    pub dictionary: Option<Arc<Dictionary>>,
    /// Where layers are kept that were converted.
    pub cache: Option<Arc<BuildCache>>,
}

/// What is put beside the chunked image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Publish {
    /// Nothing.
    #[default]
    Alone,
    /// The ordinary image: both in one index.
    Index,
    /// The ordinary image: the chunked one refers to it.
    Referrer,
}

/// How files are cut, and how chunks are stored: what decides over the bytes of a data blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// How files are cut.
    pub chunk_size: ChunkSize,
    /// How long a batch of small files may get; `None` to store each alone.
    pub batch_size: Option<ChunkSize>,
    /// How chunks are compressed.
    pub compressor: Compressor,
    /// zstd's level.
    pub level: i32,
    /// How chunks are hashed.
    pub digester: Digester,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            chunk_size: ChunkSize::DEFAULT,
            // A read of a small file costs the inflating of so much.
            batch_size: ChunkSize::new(256 << 10),
            compressor: Compressor::Zstd,
            level: Encoder::LEVEL,
            digester: Digester::Sha256,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::default(),
            platforms: Vec::new(),
            jobs: jobs(),
            work_dir: None,
            reading: layer::Options::default(),
            publish: Publish::default(),
            docker: false,
            prefetch: Vec::new(),
            dictionary: None,
            cache: None,
        }
    }
}

/// As many layers at once as there are cores, but no more than memory is planned for.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8)
}
