//! What became of the reads of all mounts of a process, who gave bytes of chunks, and what came by
//! prefetching: for Prometheus. (Those of one mount are in [`crate::fuse::traffic`] and
//! [`crate::prefetch::progress`].)

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

/// How a read of the kernel's was answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// From chunks that are here.
    Here,
    /// After chunks were fetched or checked.
    Waited,
    /// With an error.
    Failed,
}

impl EncodeLabelValue for Answer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Here => "here",
            Self::Waited => "waited",
            Self::Failed => "failed",
        })
    }
}

/// Who gave bytes of chunks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum From {
    /// The node's dfdaemon.
    Dfdaemon,
    /// The registry.
    Registry,
    /// A file of this machine: a layout, an archive, a folder.
    File,
}

impl EncodeLabelValue for From {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Dfdaemon => "dfdaemon",
            Self::Registry => "registry",
            Self::File => "file",
        })
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct AnswerLabel {
    answer: Answer,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct FromLabel {
    source: From,
}

/// The process's counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Tally {
    bytes: Counter,
    seconds: Family<AnswerLabel, Histogram, fn() -> Histogram>,
    waiting: Gauge,
    given: Family<FromLabel, Counter>,
    prefetched: (Counter, Counter),
}

/// From 10 µs, which a read of pages takes, to 42 s, in which the longest wait ends.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 4.0, 12))
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            bytes: Counter::default(),
            seconds: Family::new_with_constructor(seconds),
            waiting: Gauge::default(),
            given: Family::default(),
            prefetched: Default::default(),
        }
    }
}

impl Tally {
    /// Shows the counters in `registry`, whose prefix names the binary.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Bytes that readers were given";
        registry.register("read_bytes", help, self.bytes.clone());
        let help = "Time until a read of the kernel's was answered, by how: here, waited, failed";
        registry.register("read_seconds", help, self.seconds.clone());
        let help = "Reads that wait for chunks now";
        registry.register("reads_waiting", help, self.waiting.clone());
        let help = "Bytes of chunks, as stored, by who gave them: dfdaemon, registry, file";
        registry.register("fetched_bytes", help, self.given.clone());
        let help = "Chunks that came before anybody read them";
        registry.register("prefetched_chunks", help, self.prefetched.0.clone());
        let help = "Their bytes, uncompressed";
        registry.register("prefetched_bytes", help, self.prefetched.1.clone());
        for source in [From::Dfdaemon, From::Registry, From::File] {
            self.given(source, 0);
        }
    }

    /// A read was answered so, with so many bytes.
    pub fn read(&self, answer: Answer, bytes: u64, took: Duration) {
        self.bytes.inc_by(bytes);
        self.seconds.get_or_create(&AnswerLabel { answer }).observe(took.as_secs_f64());
    }

    /// A read waits from now on.
    pub fn waits(&self) {
        self.waiting.inc();
    }

    /// It waits no more.
    pub fn waits_no_more(&self) {
        self.waiting.dec();
    }

    /// Somebody gave bytes of chunks.
    pub fn given(&self, source: From, bytes: u64) {
        self.given.get_or_create(&FromLabel { source }).inc_by(bytes);
    }

    /// So many chunks came by prefetching, of so many bytes, uncompressed.
    pub fn prefetched(&self, chunks: u64, bytes: u64) {
        self.prefetched.0.inc_by(chunks);
        self.prefetched.1.inc_by(bytes);
    }
}

/// What became of the reads of one mount.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ReadStats {
    /// Reads that were answered at once.
    pub here: u64,
    /// Reads that waited for chunks.
    pub waited: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Bytes that readers were given.
    pub bytes: u64,
    /// Reads that wait now.
    pub waiting: u64,
    /// How long those that waited did so, in microseconds, together.
    pub waited_microseconds: u64,
    /// The longest time that one of them did, in microseconds.
    pub longest_microseconds: u64,
}
