//! The chunk caches of all blobs of a node, in one folder.
//!
//! ```text
//!   FOLDER/lock                 held by the one process that uses the folder
//!   FOLDER/blobs/KEY.data .map  a sparse file for each blob (crates/sparse)
//! ```

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use content::Digest;
use rafs::ondisk::BLOCK;
use rustix::fs::FlockOperation;
use sparse::{SparseError, SparseFile};

use crate::blob::CachedBlob;
use crate::error::CacheError;
use crate::lock::lock;

/// The part of a blob that can be kept, uncompressed, in bytes: its map takes 2 MiB. What lies
/// beyond is fetched whenever it is read. An image may say of itself that it is larger than any
/// disk, and memory must not follow.
const MAX_KEPT: u64 = 64 << 30;

/// What names a blob's cache file. Which chunks are right does not follow from it: each is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlobKey {
    /// A blob of this digest.
    Blob(Digest),
    /// The blob in which the bootstrap of this digest lies.
    Around(Digest),
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => f.write_str(&digest.to_hex()),
            Self::Around(bootstrap) => write!(f, "around-{}", bootstrap.to_hex()),
        }
    }
}

/// The folder.
#[derive(Debug)]
pub struct ChunkCache {
    blobs: PathBuf,
    open: Mutex<HashMap<BlobKey, Weak<CachedBlob>>>,
    /// Gives the folder free when it goes.
    _lock: File,
}

impl ChunkCache {
    /// Takes a folder; it is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or another process has it.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let bad = |error| CacheError::Folder { path: folder.to_owned(), error };
        let blobs = folder.join("blobs");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&blobs).map_err(bad)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join("lock")).map_err(bad)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { blobs, open: Mutex::default(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(CacheError::InUse(folder.to_owned())),
            Err(errno) => Err(bad(errno.into())),
        }
    }

    /// The cache of a blob that is `length` bytes long, uncompressed. Where the disk gives no file,
    /// there is a cache all the same, which keeps nothing.
    #[must_use]
    pub fn blob(&self, key: BlobKey, length: u64) -> Arc<CachedBlob> {
        let mut open = lock(&self.open);
        if let Some(blob) = open.get(&key).and_then(Weak::upgrade) {
            return blob;
        }
        open.retain(|_, blob| blob.strong_count() > 0);
        let path = self.blobs.join(key.to_string());
        let length = length.min(MAX_KEPT);
        let file = file(&path, length).unwrap_or_else(|error| {
            tracing::warn!(%error, blob = %key, "the chunks of a blob are not kept");
            nowhere(&path, length)
        });
        let blob = Arc::new(CachedBlob::new(file));
        open.insert(key, Arc::downgrade(&blob));
        blob
    }
}

/// The file of an earlier run if it is one and long enough, otherwise a new one.
fn file(path: &Path, length: u64) -> Result<SparseFile, SparseError> {
    let block = u32::try_from(BLOCK).unwrap_or(u32::MAX);
    match SparseFile::open(path) {
        Ok(file) if file.length() >= length && file.block_size() == block => return Ok(file),
        Err(error)
            if error.as_io().is_some_and(|error| error.kind() != io::ErrorKind::NotFound) =>
        {
            return Err(error);
        }
        _ => {}
    }
    SparseFile::create(path, length, block)
}

/// A file that keeps nothing. Blocks of the right size and so many always make a shape.
fn nowhere(path: &Path, length: u64) -> SparseFile {
    let block = u32::try_from(BLOCK).unwrap_or(u32::MAX);
    SparseFile::nowhere(path, length, block)
        .unwrap_or_else(|_| unreachable!("64 GiB are fewer blocks than a map can have"))
}
