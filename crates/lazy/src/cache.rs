//! The chunk caches of all blobs of a node, in one folder.
//!
//! ```text
//!   FOLDER/lock                 held by the one process that uses the folder
//!   FOLDER/blobs/KEY.data .map  a sparse file for each blob (crates/sparse)
//!   FOLDER/blobs/KEY.device     the kernel has read the file by itself (`device`)
//! ```

mod files;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use content::Digest;
use files::{file, kept, long_enough, nowhere, used};
use rustix::fs::FlockOperation;
use sparse::SparseFile;

use crate::blob::CachedBlob;
use crate::counts::ChunkStats;
use crate::device;
use crate::error::CacheError;
use crate::lock::lock;
use crate::room::{Room, Segment};

/// The part of a blob that can be kept, uncompressed, in bytes: its map takes 2 MiB. What lies
/// beyond is fetched whenever it is read. An image may say of itself that it is larger than any
/// disk, and memory must not follow.
pub(crate) const MAX_KEPT: u64 = 64 << 30;

/// So many blobs are remembered when no image uses them any more.
const REMEMBERED: usize = 64;

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

/// The blobs that somebody has.
type Open = HashMap<BlobKey, Weak<CachedBlob>>;

/// The folder.
#[derive(Debug)]
pub struct ChunkCache {
    blobs: PathBuf,
    room: Arc<Room>,
    open: Mutex<Open>,
    last: Mutex<VecDeque<Arc<CachedBlob>>>,
    /// Held by who checks what nobody waits for.
    checking: Mutex<()>,
    /// Gives the folder free when it goes.
    _lock: File,
}

impl ChunkCache {
    /// Takes a folder; it is made if it is not there. Chunks take `quota` bytes of its disk.
    ///
    /// # Errors
    /// If it cannot be made, or another process has it.
    pub fn open(folder: &Path, quota: u64) -> Result<Self, CacheError> {
        let bad = |error| CacheError::Folder { path: folder.to_owned(), error };
        let blobs = folder.join("blobs");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&blobs).map_err(bad)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join("lock")).map_err(bad)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let room = Arc::new(Room::new(quota));
                let cache = Self {
                    blobs,
                    room,
                    open: Mutex::default(),
                    last: Mutex::default(),
                    checking: Mutex::default(),
                    _lock: lock,
                };
                cache.enter().map_err(bad)?;
                Ok(cache)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(CacheError::InUse(folder.to_owned())),
            Err(errno) => Err(bad(errno.into())),
        }
    }

    /// The cache of a blob that is `length` bytes long, uncompressed. Where the disk gives no file,
    /// there is a cache all the same, which keeps nothing.
    #[must_use]
    pub fn blob(&self, key: BlobKey, length: u64) -> Arc<CachedBlob> {
        let mut open = lock(&self.open);
        self.is_open(&open, key).unwrap_or_else(|| {
            let path = self.blobs.join(key.to_string());
            let length = length.min(MAX_KEPT);
            let file = file(&path, length).unwrap_or_else(|error| {
                tracing::warn!(%error, blob = %key, "the chunks of a blob are not kept");
                nowhere(&path, length)
            });
            self.admit(&mut open, key, file)
        })
    }

    /// The same, if there is a file of that length already: none is made.
    #[must_use]
    pub fn kept(&self, key: BlobKey, length: u64) -> Option<Arc<CachedBlob>> {
        let mut open = lock(&self.open);
        self.is_open(&open, key).or_else(|| {
            let file = long_enough(&self.blobs.join(key.to_string()), length.min(MAX_KEPT)).ok()?;
            Some(self.admit(&mut open, key, file?))
        })
    }

    fn is_open(&self, open: &Open, key: BlobKey) -> Option<Arc<CachedBlob>> {
        let there = open.get(&key)?.upgrade().filter(|blob| !blob.is_given_up())?;
        self.remember(&there);
        Some(there)
    }

    fn admit(&self, open: &mut Open, key: BlobKey, file: SparseFile) -> Arc<CachedBlob> {
        // It may be another file than the one that was counted.
        self.room.recount(key, &file);
        let before = open.get(&key).and_then(Weak::upgrade);
        let blob = CachedBlob::new(key, file, Arc::clone(&self.room));
        let blob = Arc::new(match before {
            Some(before) => blob.after(&before),
            None => blob,
        });
        open.retain(|_, blob| blob.strong_count() > 0);
        open.insert(key, Arc::downgrade(&blob));
        self.remember(&blob);
        blob
    }

    /// What was verified of the blobs that were opened last is remembered, also while no image uses
    /// them: the next mount may have them for devices.
    fn remember(&self, blob: &Arc<CachedBlob>) {
        let mut last = lock(&self.last);
        last.retain(|other| !Arc::ptr_eq(other, blob) && !other.is_given_up());
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(Arc::clone(blob));
    }

    /// What became of the chunks of all blobs since the start.
    #[must_use]
    pub fn stats(&self) -> ChunkStats {
        self.room.counts().stats(self.held())
    }

    /// How many bytes are kept.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.room.total()
    }

    /// Whether so many bytes fit in, without anything going that was used within the last hour.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.room.fits(bytes)
    }

    /// The right to check what an earlier run has left and nobody waits for; `None` while somebody has
    /// it. That takes a processor and the disk: one does it at a time, for all images.
    pub(crate) fn checking(&self) -> Option<MutexGuard<'_, ()>> {
        self.checking.try_lock().ok()
    }

    /// Gives back what was not used for longest, if there is too much.
    pub fn make_room(&self) {
        self.room.make(|segment| {
            let open = lock(&self.open);
            if let Some(blob) = open.get(&segment.blob).and_then(Weak::upgrade) {
                drop(open);
                blob.evict(segment);
            } else {
                // Nobody opens the file while it is held.
                self.evict_unused(segment);
            }
        });
    }

    /// Evicts a segment of a blob that no image uses; the last one's end is the file's. So is that
    /// of any, if the file has served as a device.
    fn evict_unused(&self, segment: Segment) {
        let path = self.blobs.join(segment.blob.to_string());
        let evicted = kept(&path).map(|file| {
            let blob = CachedBlob::new(segment.blob, file, Arc::clone(&self.room));
            blob.evict(segment);
            if blob.file().held() == 0 {
                blob.give_up();
            }
        });
        if let Err(error) = evicted {
            tracing::warn!(%error, "chunks that nobody uses cannot be given back");
            self.room.holds(segment, 0);
        }
    }

    /// Accounts for what earlier runs left. What is no file of ours is removed, and what holds nothing.
    fn enter(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.blobs)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "map") {
                found.push((used(&path), path.with_extension("")));
            } else if !path.with_extension("map").exists() {
                // A crash left it between its two halves.
                fs::remove_file(&path)?;
            }
        }
        found.sort();
        for (_, path) in found {
            let key = path.file_name().and_then(|name| name.to_str()).and_then(BlobKey::parse);
            match (key, kept(&path)) {
                (Some(_), Ok(file)) if file.held() == 0 => {
                    let removed = file.delete().map(|()| device::unmark(&path));
                    removed.unwrap_or_else(|error| tracing::warn!(%error, "an empty file stays"));
                }
                (Some(key), Ok(file)) => self.room.enter(key, &file),
                _ => {
                    tracing::warn!(path = %path.display(), "a file of the chunk cache is none");
                    fs::remove_file(path.with_extension("map"))?;
                    // It may be what was missing.
                    let _ = fs::remove_file(path.with_extension("data"));
                    device::unmark(&path);
                }
            }
        }
        Ok(())
    }
}

impl BlobKey {
    /// Reads what [`fmt::Display`] writes.
    fn parse(text: &str) -> Option<Self> {
        let digest = |hex: &str| format!("sha256:{hex}").parse().ok();
        match text.strip_prefix("around-") {
            Some(hex) => digest(hex).map(Self::Around),
            None => digest(text).map(Self::Blob),
        }
    }
}
