//! What became of chunks, counted twice: for their blob, as long as it is open, and for the node, since
//! the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Numbers of chunks, or of their bytes.
#[derive(Debug, Default)]
pub struct Counts {
    fetched: AtomicU64,
    fetched_bytes: AtomicU64,
    recovered: AtomicU64,
    damaged: AtomicU64,
    unkept: AtomicU64,
    /// The node's, of those of a blob.
    all: Option<Arc<Counts>>,
}

/// What became of chunks since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ChunkStats {
    /// Chunks that were fetched.
    pub fetched: u64,
    /// Their bytes, uncompressed.
    pub fetched_bytes: u64,
    /// Chunks of an earlier run that were found on disk and right.
    pub recovered: u64,
    /// Chunks of an earlier run that were found wrong, and dropped.
    pub damaged: u64,
    /// Chunks that were handed on and not kept.
    pub unkept: u64,
    /// Bytes that the cache file holds.
    pub held: u64,
}

impl ChunkStats {
    /// Those of several blobs together.
    pub fn sum<'a>(blobs: impl Iterator<Item = &'a Self>) -> Self {
        blobs.fold(Self::default(), |sum, blob| Self {
            fetched: sum.fetched.saturating_add(blob.fetched),
            fetched_bytes: sum.fetched_bytes.saturating_add(blob.fetched_bytes),
            recovered: sum.recovered.saturating_add(blob.recovered),
            damaged: sum.damaged.saturating_add(blob.damaged),
            unkept: sum.unkept.saturating_add(blob.unkept),
            held: sum.held.saturating_add(blob.held),
        })
    }
}

impl Counts {
    /// Those of a blob of the node that `all` is of.
    pub(crate) fn of_blob(all: &Arc<Self>) -> Self {
        Self { all: Some(Arc::clone(all)), ..Self::default() }
    }

    /// A chunk of so many bytes was fetched.
    pub(crate) fn fetched(&self, bytes: u64) {
        self.add(1, |counts| &counts.fetched);
        self.add(bytes, |counts| &counts.fetched_bytes);
    }

    /// A chunk of an earlier run is right.
    pub(crate) fn recovered(&self) {
        self.add(1, |counts| &counts.recovered);
    }

    /// A chunk of an earlier run is wrong.
    pub(crate) fn damaged(&self) {
        self.add(1, |counts| &counts.damaged);
    }

    /// A chunk is not kept.
    pub(crate) fn unkept(&self) {
        self.add(1, |counts| &counts.unkept);
    }

    fn add(&self, number: u64, which: impl Fn(&Self) -> &AtomicU64) {
        for counts in std::iter::once(self).chain(self.all.as_deref()) {
            which(counts).fetch_add(number, Ordering::Relaxed);
        }
    }

    /// What they are now, of chunks that take `held` bytes.
    pub(crate) fn stats(&self, held: u64) -> ChunkStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ChunkStats {
            fetched: count(&self.fetched),
            fetched_bytes: count(&self.fetched_bytes),
            recovered: count(&self.recovered),
            damaged: count(&self.damaged),
            unkept: count(&self.unkept),
            held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_s_numbers_outlive_those_of_its_blobs() {
        let all = Arc::new(Counts::default());
        for _ in 0..2 {
            let blob = Counts::of_blob(&all);
            blob.fetched(100);
            blob.recovered();
            blob.damaged();
            blob.unkept();
            let stats = blob.stats(7);
            assert_eq!((stats.fetched, stats.fetched_bytes, stats.held), (1, 100, 7));
        }
        let stats = all.stats(0);
        assert_eq!((stats.fetched, stats.fetched_bytes, stats.recovered), (2, 200, 2));
        assert_eq!((stats.damaged, stats.unkept), (2, 2));
    }
}
