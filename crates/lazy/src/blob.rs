//! The chunk cache of one data blob: a sparse file laid out by uncompressed offset, and who is
//! fetching what.

mod going;
mod joined;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rafs::{ChunkInfo, Digester, VerifiedChunk};
use sparse::{SparseError, SparseFile, State};

pub use joined::Claim;
use joined::Key;

use crate::cache::BlobKey;
use crate::counts::{ChunkStats, Counts};
use crate::device::{self, Device, Users};
use crate::error::FetchError;
use crate::flight::Flights;
use crate::ledger::{self, Ledger};
use crate::lock::lock;
use crate::parts::Part;
use crate::plan::Standing;
use crate::room::{Room, Segment};

/// A chunk, or why nobody has it.
pub type Fetched = Result<VerifiedChunk, Arc<FetchError>>;

/// The chunk cache of one data blob, shared by all images that use the blob.
#[derive(Debug)]
pub struct CachedBlob {
    key: BlobKey,
    file: SparseFile,
    room: Arc<Room>,
    /// When each segment was used last, so that the account is told once a tick.
    used: Vec<AtomicU64>,
    /// From when on the file's time is to be set: it tells the next run.
    stamp_at: AtomicU64,
    ledger: Mutex<Ledger>,
    /// Locked before the ledger.
    users: Arc<Mutex<Users>>,
    /// Chunks that readers wait for.
    flights: Flights<Key, Fetched>,
    /// Chunks that are prefetched.
    ahead: Flights<Key, Fetched>,
    counts: Arc<Counts>,
    /// Whether the file was given up. Held while that is done, and while its bytes are counted: the
    /// account and the names are then the next one's.
    gone: Mutex<bool>,
    /// When to try for a file, if there is none.
    again: Option<Instant>,
}

/// The file's time is set once in so many seconds while it is used.
const STAMP: u64 = 60;

/// So long the chunks of a blob are not kept when the disk gives no file, before it is asked again.
const AGAIN: Duration = Duration::from_secs(5);

impl CachedBlob {
    /// Over a cache file, whatever it holds, whose bytes count in `room`.
    #[must_use]
    pub fn new(key: BlobKey, file: SparseFile, room: Arc<Room>) -> Self {
        let used = Segment::all(key, file.blocks()).map(|_| AtomicU64::new(0)).collect();
        let users = Arc::new(Mutex::new(Users::of(file.path())));
        let (ledger, counts) = (Mutex::default(), Arc::new(Counts::of_blob(room.counts())));
        let (flights, ahead) = (Flights::new(), Flights::new());
        let again = file.is_deleted().then(|| Instant::now().checked_add(AGAIN)).flatten();
        let (gone, stamp_at) = (Mutex::new(false), AtomicU64::new(0));
        Self { key, file, room, used, stamp_at, ledger, users, flights, ahead, counts, gone, again }
    }

    /// In the place of another, whose file was given up: what became of chunks is counted on.
    #[must_use]
    pub(crate) fn after(self, other: &Self) -> Self {
        Self { counts: Arc::clone(&other.counts), ..self }
    }

    /// Reads a part of a chunk that was verified since the start; false if it is not here. A disk
    /// that cannot be read has nothing.
    #[must_use]
    pub fn read(&self, part: &Part, into: &mut [u8]) -> bool {
        if into.len() != part.within.len() {
            return false;
        }
        let at = part.chunk.uncompressed_offset.saturating_add(part.within.start as u64);
        let read = self.while_known(&part.chunk, || self.file.read_at(at, into));
        read.map_err(|error| self.refused(&error, "read")).unwrap_or(false)
    }

    /// Has `read` read bytes of a chunk that was verified since the start; false if it was not, or
    /// they went meanwhile.
    ///
    /// What is known may go at any time, and another image's chunk come in its place. So the drops
    /// are counted from before the ledger is asked until after the bytes were read.
    fn while_known(
        &self,
        chunk: &ChunkInfo,
        mut read: impl FnMut() -> Result<bool, SparseError>,
    ) -> Result<bool, SparseError> {
        loop {
            let drops = self.file.drops();
            if !lock(&self.ledger).knows(chunk) || !read()? {
                return Ok(false);
            }
            if self.file.drops() == drops {
                self.touch(chunk);
                return Ok(true);
            }
        }
    }

    /// Whether this very chunk was verified since the start.
    #[must_use]
    pub fn knows(&self, chunk: &ChunkInfo) -> bool {
        lock(&self.ledger).knows(chunk)
    }

    /// What is known of a chunk.
    #[must_use]
    pub fn standing(&self, chunk: &ChunkInfo) -> Standing {
        match self.run(chunk).map(|run| self.file.run_state(run)) {
            None | Some(State::Absent) => Standing::Missing,
            Some(State::Present) if self.knows(chunk) => Standing::Verified,
            Some(_) => Standing::Recorded,
        }
    }

    /// Whether the cache file has a chunk in this place, verified or of an earlier run.
    #[must_use]
    pub fn has(&self, chunk: &ChunkInfo) -> bool {
        self.run(chunk).is_some_and(|run| self.file.run_state(run) != State::Absent)
    }

    /// Puts a verified chunk into the cache, unless something else has been entered in its place or
    /// the disk refuses: then it is not kept.
    pub fn keep(&self, chunk: &VerifiedChunk) {
        let info = chunk.info();
        if lock(&self.ledger).knows(info) && self.is_present(info) {
            return;
        }
        let kept = lock(&self.ledger).reserve(info) && self.write(chunk);
        if kept {
            lock(&self.ledger).settle(info);
            self.touch(info);
            self.account(&ledger::blocks(info));
        } else {
            lock(&self.ledger).release(info);
            self.counts.unkept();
        }
    }

    /// The cache file for the kernel to read by itself, if every one of `chunks` was verified since
    /// the start and is here.
    #[must_use]
    pub fn device(&self, chunks: impl IntoIterator<Item = ChunkInfo>) -> Option<Device> {
        // Held until it is entered: nobody evicts meanwhile.
        let users = lock(&self.users);
        let here = |chunk: &ChunkInfo| lock(&self.ledger).knows(chunk) && self.is_present(chunk);
        if !chunks.into_iter().all(|chunk| here(&chunk)) {
            return None;
        }
        let file = self.file.data().map_err(|error| self.refused(&error, "open")).ok()?;
        let kept = self.room.keep(self.key, &self.file);
        let device = Device::new(self.file.path(), file, kept, &self.users, users);
        let refused = |error| tracing::warn!(%error, blob = %self.key, "it is no device");
        device.map_err(refused).ok()
    }

    /// How many chunks were verified since the start and are here.
    #[must_use]
    pub fn verified(&self) -> usize {
        lock(&self.ledger).len()
    }

    /// What became of chunks.
    #[must_use]
    pub fn stats(&self) -> ChunkStats {
        self.counts.stats(self.file.held())
    }

    /// The cache file.
    #[must_use]
    pub const fn file(&self) -> &SparseFile {
        &self.file
    }

    /// Says that a chunk's segment was used.
    fn touch(&self, chunk: &ChunkInfo) {
        let segment = Segment::of(self.key, ledger::blocks(chunk).start);
        let now = self.room.now();
        if let Some(used) = self.used.get(segment.number as usize)
            && used.swap(now, Ordering::Relaxed) != now
        {
            self.room.used(&segment, now);
            if self.stamp_at.load(Ordering::Relaxed) <= now {
                self.stamp_at.store(now.saturating_add(STAMP), Ordering::Relaxed);
                device::stamp(self.file.path());
            }
        }
    }

    /// Counts anew what the segments of these blocks hold.
    fn account(&self, blocks: &std::ops::Range<u64>) {
        let gone = lock(&self.gone);
        if *gone {
            return;
        }
        let first = Segment::of(self.key, blocks.start);
        let last = Segment::of(self.key, blocks.end.saturating_sub(1));
        for number in first.number..=last.number {
            let segment = Segment { blob: self.key, number };
            self.room.holds(segment, segment.held(&self.file));
        }
        drop(gone);
    }

    /// The chunk from the cache file, if it was verified already or is verified now.
    fn known_or_recorded(&self, chunk: &ChunkInfo, digester: Digester) -> Option<VerifiedChunk> {
        let known = lock(&self.ledger).knows(chunk);
        if !known && !lock(&self.ledger).reserve(chunk) {
            return None;
        }
        let found = self.look(chunk, digester);
        match (&found, known) {
            (Some(_), false) => {
                self.file.confirm_run(self.run(chunk)?);
                lock(&self.ledger).settle(chunk);
                self.touch(chunk);
                self.counts.recovered();
            }
            (None, false) => lock(&self.ledger).release(chunk),
            _ => {}
        }
        found
    }

    /// Reads the chunk from the cache file and checks it. What is wrong is dropped.
    fn look(&self, chunk: &ChunkInfo, digester: Digester) -> Option<VerifiedChunk> {
        let length = usize::try_from(chunk.uncompressed_size).ok()?;
        let read = self.file.read_run(chunk.uncompressed_offset, length);
        let (_, bytes) = read.map_err(|error| self.refused(&error, "read")).ok()??;
        let checked = VerifiedChunk::check(chunk, digester, bytes.into());
        if checked.is_err() {
            self.counts.damaged();
            let path = self.file.path().display();
            tracing::warn!(chunk = %chunk.digest, %path, "a chunk on disk is damaged: fetching it again");
            self.discard(self.run(chunk)?);
        }
        checked.ok()
    }

    /// Writes a chunk whose extent is reserved.
    fn write(&self, chunk: &VerifiedChunk) -> bool {
        let Some(run) = self.run(chunk.info()) else { return false };
        let marked = lock(&self.users).ever();
        let fill = || self.file.fill_run(run.start, chunk.bytes());
        let write = || self.file.write_run(run.start, chunk.bytes());
        // What lies there already may be the same, kept by who came upon it in its batch.
        let written = if marked { fill() } else { write().and_then(|new| Ok(new || fill()?)) };
        match written {
            // Bytes that nobody has entered: whatever they are, they go.
            Ok(false) if !marked => {
                self.discard(run);
                false
            }
            Ok(written) => written,
            Err(error) => {
                self.refused(&error, "write");
                false
            }
        }
    }

    fn is_present(&self, chunk: &ChunkInfo) -> bool {
        self.run(chunk).is_some_and(|run| self.file.run_state(run) == State::Present)
    }

    /// The blocks of a chunk; `None` if they are beyond the cache file's end.
    fn run(&self, chunk: &ChunkInfo) -> Option<std::ops::Range<u32>> {
        let blocks = ledger::blocks(chunk);
        let run = u32::try_from(blocks.start).ok()?..u32::try_from(blocks.end).ok()?;
        (run.end <= self.file.blocks()).then_some(run)
    }

    fn refused(&self, error: &SparseError, doing: &str) {
        // A file that was given up is no news.
        if !matches!(error, SparseError::Deleted { .. }) {
            tracing::warn!(%error, "the chunk cache's disk refuses to {doing} a file");
        }
    }
}
