//! How much room chunks take on the disk, by segments of blobs, and which segments go first.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rafs::ondisk::BLOCK;
use sparse::{Pin, Quota, SparseFile};

use crate::cache::BlobKey;
use crate::counts::Counts;

/// How many blocks a segment has: 32 MiB.
const BLOCKS: u64 = (32 << 20) / BLOCK;

/// What was used within so many seconds does not go for what is only prefetched.
const LATELY: u64 = 3600;

/// What is evicted at once: a stretch of one blob's cache file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// Of which blob.
    pub blob: BlobKey,
    /// Which of its segments.
    pub number: u32,
}

impl Segment {
    /// The one in which a block lies.
    #[must_use]
    pub fn of(blob: BlobKey, block: u64) -> Self {
        Self { blob, number: u32::try_from(block / BLOCKS).unwrap_or(u32::MAX) }
    }

    /// Its blocks; the last segment's may be fewer.
    #[must_use]
    pub fn blocks(&self) -> Range<u64> {
        let begin = u64::from(self.number).saturating_mul(BLOCKS);
        begin..begin.saturating_add(BLOCKS)
    }

    /// Every segment of a blob of so many blocks.
    pub fn all(blob: BlobKey, blocks: u32) -> impl Iterator<Item = Self> {
        let count = u64::from(blocks).div_ceil(BLOCKS);
        (0..u32::try_from(count).unwrap_or(u32::MAX)).map(move |number| Self { blob, number })
    }

    /// How many bytes of it `file` holds.
    #[must_use]
    pub fn held(&self, file: &SparseFile) -> u64 {
        (file.count(run(&self.blocks())) as u64).saturating_mul(BLOCK)
    }
}

/// Blocks as a cache file counts them: it has fewer than 2³².
pub(crate) fn run(blocks: &Range<u64>) -> Range<u32> {
    let small = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
    small(blocks.start)..small(blocks.end)
}

/// The account of all segments of a node.
#[derive(Debug)]
pub struct Room {
    quota: Quota<Segment>,
    started: Instant,
    /// The tick of the start: whatever is used from then on was used later than all before.
    first: AtomicU64,
    /// Held by who makes room: one does it for all.
    making: Mutex<()>,
    counts: Arc<Counts>,
}

impl Room {
    /// No more than `bytes`, as far as that can be; down to nine tenths of it if there are more.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let quota = Quota::new(bytes, bytes / 10 * 9);
        let (first, started) = (AtomicU64::new(0), Instant::now());
        Self { quota, started, first, making: Mutex::default(), counts: Arc::default() }
    }

    /// What became of the chunks of all blobs.
    pub(crate) const fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Enters what an earlier run left, blob after blob, those first that were used last long ago.
    pub fn enter(&self, blob: BlobKey, file: &SparseFile) {
        let tick = self.first.fetch_add(1, Ordering::Relaxed);
        for segment in Segment::all(blob, file.blocks()) {
            let held = segment.held(file);
            if held > 0 {
                self.quota.add(segment, held, tick);
            }
        }
    }

    /// Counts anew what all segments of a blob hold.
    pub fn recount(&self, blob: BlobKey, file: &SparseFile) {
        let all = Segment::all(blob, file.blocks());
        all.for_each(|segment| self.holds(segment, segment.held(file)));
    }

    /// The tick of this moment: seconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.first.load(Ordering::Relaxed).saturating_add(self.started.elapsed().as_secs())
    }

    /// A segment was used at `tick`.
    pub fn used(&self, segment: &Segment, tick: u64) {
        self.quota.touch(segment, tick);
    }

    /// A segment holds so many bytes now.
    pub fn holds(&self, segment: Segment, bytes: u64) {
        if bytes == 0 {
            self.quota.remove(&segment);
        } else {
            let tick = self.quota.last_use(&segment).unwrap_or_else(|| self.now());
            self.quota.add(segment, bytes, tick);
        }
    }

    /// How many bytes all segments hold.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.quota.total()
    }

    /// Whether there is room for so many bytes more beside what was used lately.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        let fits = |held: u64| held.saturating_add(bytes) <= self.quota.low();
        if fits(self.total()) {
            return true;
        }
        // What earlier runs left has lower ticks than the start.
        let since = self.now().saturating_sub(LATELY).max(self.first.load(Ordering::Relaxed));
        let used = self.quota.by_age().into_iter();
        let used = used.filter(|(key, _)| self.quota.last_use(key).is_some_and(|at| at >= since));
        fits(used.map(|(_, bytes)| bytes).fold(0, u64::saturating_add))
    }

    /// Has `evict` take the segments that were not used for longest, if there is too much. Who comes
    /// while another does it goes on.
    pub fn make(&self, evict: impl FnMut(Segment)) {
        if self.quota.is_over()
            && let Ok(_making) = self.making.try_lock()
        {
            self.quota.make_room(evict);
        }
    }

    /// Keeps what a blob holds.
    pub(crate) fn keep(self: &Arc<Self>, blob: BlobKey, file: &SparseFile) -> Kept {
        let pin = |segment: Segment| self.quota.pin(&segment).map(|pin| (segment, pin));
        let segments = Segment::all(blob, file.blocks()).filter_map(pin).collect();
        Kept { room: Arc::clone(self), segments }
    }
}

/// Segments that do not go for as long as this lives. Until then they are in use.
#[derive(Debug)]
pub(crate) struct Kept {
    room: Arc<Room>,
    segments: Vec<(Segment, Pin<Segment>)>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let now = self.room.now();
        self.segments.iter().for_each(|(segment, _)| self.room.used(segment, now));
    }
}
