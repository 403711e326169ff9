//! What became of prefetching for one mount, in numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use lazy::{Left, Outcome, Step};
use serde::{Deserialize, Serialize};

use crate::lock::lock;
use crate::tally::Tally;

/// What became of prefetching for one mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefetchStats {
    /// Whether it goes on.
    pub going: bool,
    /// By how many threads; 0 once it has ended.
    pub threads: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them for one chunk alone.
    pub single: u64,
    /// Chunks that came by it, and were right.
    pub chunks: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// Bytes that its requests were for, as they are stored. (Of a chunk in a batch, its own
    /// length.)
    pub stored_bytes: u64,
    /// Chunks that did not come right, counted each time.
    pub failed: u64,
    /// Chunks that are still to come. If it does not go on, they will not: the cache is full.
    pub left: u64,
    /// Their bytes, uncompressed.
    pub left_bytes: u64,
    /// How long its requests took, in milliseconds, together.
    pub took_milliseconds: u64,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When it came to its end, in milliseconds since 1970; none if it goes on.
    pub ended: Option<u64>,
}

/// The counters.
#[derive(Debug)]
pub(super) struct Progress {
    requests: AtomicU64,
    single: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
    /// The threads that have not ended.
    threads: AtomicUsize,
    began: SystemTime,
    ended: OnceLock<SystemTime>,
    in_hand: Mutex<Left>,
    /// Those of all mounts.
    all: Tally,
}

impl Progress {
    /// Nothing yet, by so many threads from now on; `all` counts for all mounts.
    pub(super) fn begin(all: &Tally, threads: usize, now: SystemTime) -> Self {
        Self {
            requests: AtomicU64::default(),
            single: AtomicU64::default(),
            chunks: AtomicU64::default(),
            bytes: AtomicU64::default(),
            stored: AtomicU64::default(),
            failed: AtomicU64::default(),
            micros: AtomicU64::default(),
            threads: AtomicUsize::new(threads),
            began: now,
            ended: OnceLock::new(),
            in_hand: Mutex::default(),
            all: all.clone(),
        }
    }

    /// Somebody goes to fetch this.
    pub(super) fn taken(&self, step: &Step) {
        let mut hand = lock(&self.in_hand);
        hand.chunks = hand.chunks.saturating_add(chunks(step));
        hand.bytes = hand.bytes.saturating_add(step.uncompressed());
    }

    /// And has done so, or not.
    pub(super) fn put_down(&self, step: &Step) {
        let mut hand = lock(&self.in_hand);
        hand.chunks = hand.chunks.saturating_sub(chunks(step));
        hand.bytes = hand.bytes.saturating_sub(step.uncompressed());
    }

    /// A request was answered so.
    pub(super) fn answered(&self, step: &Step, outcome: &Outcome, took: Duration) {
        let add = |number: &AtomicU64, more: u64| number.fetch_add(more, Ordering::Relaxed);
        let fetched = outcome.fetched as u64;
        add(&self.requests, 1);
        add(&self.single, u64::from(chunks(step) == 1));
        add(&self.chunks, fetched);
        add(&self.bytes, outcome.bytes);
        add(&self.stored, step.bytes());
        add(&self.micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.all.prefetched(fetched, outcome.bytes);
    }

    /// So many chunks did not come right.
    pub(super) fn failed(&self, chunks: usize) {
        self.failed.fetch_add(chunks as u64, Ordering::Relaxed);
    }

    /// A thread has nothing more to do; with the last it is over.
    pub(super) fn thread_ends(&self, now: SystemTime) {
        if self.threads.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = self.ended.set(now);
        }
    }

    /// The numbers so far; so much is not begun.
    pub(super) fn stats(&self, before: Left) -> PrefetchStats {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let hand = *lock(&self.in_hand);
        PrefetchStats {
            going: self.ended.get().is_none(),
            threads: self.threads.load(Ordering::Relaxed) as u64,
            requests: get(&self.requests),
            single: get(&self.single),
            chunks: get(&self.chunks),
            bytes: get(&self.bytes),
            stored_bytes: get(&self.stored),
            failed: get(&self.failed),
            left: before.chunks.saturating_add(hand.chunks),
            left_bytes: before.bytes.saturating_add(hand.bytes),
            took_milliseconds: get(&self.micros) / 1000,
            began: milliseconds(self.began),
            ended: self.ended.get().copied().map(milliseconds),
        }
    }
}

const fn chunks(step: &Step) -> u64 {
    match step {
        Step::Run(run) => run.chunks.len() as u64,
        Step::Batched(_) => 1,
        // It is here.
        Step::Check(_) => 0,
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use lazy::run::Run;
    use rafs::{ChunkDigest, ChunkInfo, Stored};

    use super::*;

    #[test]
    fn what_is_in_hand_is_left_until_it_is_here() {
        let chunk = ChunkInfo {
            digest: ChunkDigest([7; 32]),
            blob: 0,
            index: 0,
            uncompressed_offset: 0,
            uncompressed_size: 300,
            stored: Stored::Alone { offset: 0, size: 100, compressed: true },
        };
        let run = Step::Run(Run { chunks: vec![chunk, chunk], offset: 0, length: 200 });
        let batched = Step::Batched(ChunkInfo { stored: Stored::Batched, ..chunk });
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        let progress = Progress::begin(&Tally::default(), 2, began);
        let before = Left { chunks: 5, bytes: 1000 };
        progress.taken(&run);
        progress.taken(&batched);
        let stats = progress.stats(before);
        assert_eq!((stats.left, stats.left_bytes), (8, 1900));
        assert!(stats.going && stats.ended.is_none() && stats.began == 1500);
        let came = Outcome { fetched: 1, bytes: 300, kept: 1, given_up: 1 };
        progress.answered(&run, &came, Duration::from_millis(7));
        progress.failed(came.given_up);
        progress.put_down(&run);
        progress.answered(&batched, &Outcome { given_up: 0, ..came }, Duration::from_millis(8));
        progress.put_down(&batched);
        progress.thread_ends(began);
        assert!(progress.stats(before).going, "the other one goes on");
        progress.thread_ends(began + Duration::from_secs(1));
        let stats = progress.stats(Left::default());
        assert_eq!((stats.requests, stats.single, stats.chunks, stats.failed), (2, 1, 2, 1));
        assert_eq!((stats.bytes, stats.stored_bytes), (600, 500));
        assert_eq!((stats.left, stats.left_bytes, stats.took_milliseconds), (0, 0, 15));
        assert_eq!((stats.going, stats.threads, stats.ended), (false, 0, Some(2500)));
    }
}
