//! What the kernel has read of a mount, in numbers, and what it waits for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::calls::{CallTotals, Calls};
use super::files::Files;
use crate::lock::lock;
use crate::tally::{Answer, ReadStats, Tally};

/// Where buckets of read sizes begin, in bytes: nydusd's.
const SIZES: [u64; 8] = [0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10, 512 << 10, 1 << 20];

/// Where buckets of latencies end, in microseconds: nydusd's; the last has no end.
const LATENCIES: [u64; 7] = [200, 1_000, 20_000, 50_000, 500_000, 1_000_000, 2_000_000];

/// Reads of one mount. With EROFS these are of missing pages only: the kernel reads the rest by
/// itself.
#[derive(Debug, Default)]
pub struct Traffic {
    reads: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
    sizes: [AtomicU64; 8],
    latencies: [AtomicU64; 8],
    numbers: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
    waited: AtomicU64,
    waited_micros: AtomicU64,
    longest_micros: AtomicU64,
    calls: Calls,
    /// None if nobody wants to know which files are read.
    files: Option<Files>,
    /// Those of all mounts.
    all: Tally,
}

/// The numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Reads that were answered with bytes.
    pub reads: u64,
    /// Reads that were answered with an error.
    pub errors: u64,
    /// Bytes that were answered.
    pub bytes: u64,
    /// How long all answers took, in microseconds.
    pub micros: u64,
    /// Reads by size: from 0, 1 KiB, 4, 16, 64, 128, 512 KiB, 1 MiB on.
    pub sizes: [u64; 8],
    /// Reads by latency: up to 200 µs, 1 ms, 20 ms, 50 ms, 500 ms, 1 s, 2 s, above.
    pub latencies: [u64; 8],
    /// The kernel's other questions.
    pub calls: CallTotals,
}

/// A read that waits for a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The file's number, or the blob's.
    pub of: u64,
    /// Since when.
    pub since: SystemTime,
}

impl Traffic {
    /// Of a mount of the process whose reads `all` counts; `files` counts them by file.
    #[must_use]
    pub fn of(all: &Tally, files: Option<Files>) -> Self {
        Self { all: all.clone(), files, ..Self::default() }
    }

    /// The kernel's other questions.
    pub(crate) const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Which files are read, if somebody wants to know.
    #[must_use]
    pub const fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// The counters of all mounts.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.all
    }

    /// What is told of a mount's reads.
    #[must_use]
    pub fn stats(&self) -> ReadStats {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let waited = of(&self.waited);
        ReadStats {
            here: of(&self.reads).saturating_sub(waited),
            waited,
            failed: of(&self.errors),
            bytes: of(&self.bytes),
            waiting: lock(&self.waiting).len() as u64,
            waited_microseconds: of(&self.waited_micros),
            longest_microseconds: of(&self.longest_micros),
        }
    }

    /// A read begins, of the file with this number, if it is of one.
    pub(crate) fn begin(self: &Arc<Self>, file: Option<u64>) -> Reading {
        Reading { traffic: Arc::clone(self), file, began: Instant::now(), waits: None }
    }

    /// The numbers so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Totals {
            reads: get(&self.reads),
            errors: get(&self.errors),
            bytes: get(&self.bytes),
            micros: get(&self.micros),
            sizes: self.sizes.each_ref().map(get),
            latencies: self.latencies.each_ref().map(get),
            calls: self.calls.totals(),
        }
    }

    /// Reads that wait, each with a number of its own.
    #[must_use]
    pub fn waiting(&self) -> Vec<(u64, Waiting)> {
        lock(&self.waiting).iter().map(|(number, waiting)| (*number, *waiting)).collect()
    }

    fn count(&self, took: Duration, bytes: Option<usize>, waited: bool) {
        let add = |number: &AtomicU64, more: u64| number.fetch_add(more, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.micros, micros);
        let slot = LATENCIES.partition_point(|end| *end < micros);
        self.latencies.get(slot).map(|slot| add(slot, 1));
        let Some(bytes) = bytes.map(|bytes| bytes as u64) else {
            add(&self.errors, 1);
            self.all.read(Answer::Failed, 0, took);
            return;
        };
        self.all.read(if waited { Answer::Waited } else { Answer::Here }, bytes, took);
        if waited {
            add(&self.waited, 1);
            add(&self.waited_micros, micros);
            self.longest_micros.fetch_max(micros, Ordering::Relaxed);
        }
        add(&self.reads, 1);
        add(&self.bytes, bytes);
        self.sizes.get(size_slot(bytes)).map(|slot| add(slot, 1));
    }
}

/// In which bucket of sizes a read of so many bytes is.
pub(super) fn size_slot(bytes: u64) -> usize {
    SIZES.partition_point(|begin| *begin <= bytes).saturating_sub(1)
}

/// A read that is being answered.
#[derive(Debug)]
pub(crate) struct Reading {
    traffic: Arc<Traffic>,
    file: Option<u64>,
    began: Instant,
    waits: Option<u64>,
}

impl Reading {
    /// It waits, for something of the file or blob with this number.
    pub(crate) fn wait(mut self, of: u64) -> Self {
        let number = self.traffic.numbers.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { of, since: SystemTime::now() };
        lock(&self.traffic.waiting).insert(number, waiting);
        self.traffic.all.waits();
        self.waits = Some(number);
        self
    }

    /// It is answered, with so many bytes, or an error.
    pub(crate) fn done(self, bytes: Option<usize>) {
        self.traffic.count(self.began.elapsed(), bytes, self.waits.is_some());
        if let (Some(files), Some(file)) = (&self.traffic.files, self.file) {
            files.read(file, bytes, SystemTime::now());
        }
    }
}

/// However it ends, it waits no more.
impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(number) = self.waits {
            lock(&self.traffic.waiting).remove(&number);
            self.traffic.all.waits_no_more();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fall_into_nydusds_buckets() {
        let traffic = Arc::new(Traffic::default());
        for (bytes, micros) in [
            (Some(0), 0),
            (Some(1023), 200),
            (Some(1024), 201),
            (Some(4096), 1_000),
            (Some(131_072), 2_000_000),
            (Some(1 << 20), 2_000_001),
            (None, 3),
        ] {
            traffic.count(Duration::from_micros(micros), bytes, micros > 1_000);
        }
        let totals = traffic.totals();
        assert_eq!((totals.reads, totals.errors), (6, 1));
        assert_eq!(totals.bytes, 1023 + 1024 + 4096 + 131_072 + (1 << 20));
        assert_eq!(totals.sizes, [2, 1, 1, 0, 0, 1, 0, 1]);
        assert_eq!(totals.latencies, [3, 2, 0, 0, 0, 0, 1, 1]);
        assert_eq!(totals.micros, 4_001_405);
        let stats = traffic.stats();
        assert_eq!((stats.here, stats.waited, stats.failed), (4, 2, 1));
        assert_eq!(stats.waited_microseconds, 4_000_001);
        assert_eq!(stats.longest_microseconds, 2_000_001);
    }

    #[test]
    fn who_waits_is_seen_until_it_ends() {
        let traffic = Arc::new(Traffic::default());
        let (one, two) = (traffic.begin(None).wait(7), traffic.begin(None).wait(8));
        let mut of: Vec<_> = traffic.waiting().iter().map(|(_, waiting)| waiting.of).collect();
        of.sort_unstable();
        assert_eq!(of, [7, 8]);
        one.done(Some(1));
        drop(two);
        assert!(traffic.waiting().is_empty());
        assert_eq!(traffic.totals().reads, 1);
    }
}
