//! What is to be done now and then, in a node as in a supernode: idle tasks are let go of, the store
//! is kept within its quota, a disk that refused is tried again, readiness tells of it.

use std::path::PathBuf;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use store::{Fault, StoreConfig, StoreStats};
use telemetry::health::Health;
use telemetry::units::{ByteSize, Rate};

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::feed::Feeds;
use crate::scrub::Scrub;
use crate::serve::unix_now;

/// The `[store]` section of both programs' configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// The most that is kept; 0: what the file system has free, less the reserve.
    pub quota: ByteSize,
    /// So much of the file system stays free for others; if it is not given, a twentieth of it, at
    /// most 10 GiB.
    pub reserve: Option<ByteSize>,
    /// Above so many percent of the quota, the least recently used tasks go …
    pub high_percent: u8,
    /// … until so many percent are left.
    pub low_percent: u8,
    /// How often that is looked after.
    #[serde(with = "humantime_serde")]
    pub upkeep_every: Duration,
    /// How often all that is stored is read again and compared with its digests; `0s`: never.
    #[serde(with = "humantime_serde")]
    pub scrub_every: Duration,
    /// How fast that is read at most.
    pub scrub_rate: Rate,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            quota: ByteSize::default(),
            reserve: None,
            high_percent: 90,
            low_percent: 80,
            upkeep_every: Duration::from_secs(30),
            scrub_every: Duration::from_secs(24 * 60 * 60),
            scrub_rate: Rate::bytes_per_second(8 << 20),
        }
    }
}

impl StoreOptions {
    /// The store in `dir`, as these options want it.
    #[must_use]
    pub fn store(&self, dir: impl Into<PathBuf>) -> StoreConfig {
        StoreConfig {
            quota_bytes: self.quota.as_u64(),
            reserve_bytes: self.reserve.map(ByteSize::as_u64),
            high_percent: self.high_percent,
            low_percent: self.low_percent,
            ..StoreConfig::new(dir)
        }
    }
}

/// The condition in [`Health`] that tells of the store.
pub const CONDITION: &str = "store";

/// A disk that refused writes is tried again so often.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// A disk that begins to refuse writes is noticed so soon.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks after a store and the tasks over it.
#[derive(Debug)]
pub struct Upkeep {
    engine: Engine,
    feeds: Feeds,
    options: StoreOptions,
    health: Health,
    shown: Shown,
}

impl Upkeep {
    /// Looks after `engine`'s store, as `options` want it; `health` and `metrics` show its state.
    #[must_use]
    pub fn new(
        engine: Engine,
        feeds: Feeds,
        options: StoreOptions,
        health: Health,
        metrics: &telemetry::metrics::Metrics,
    ) -> Self {
        Self { engine, feeds, options, health, shown: Shown::new(metrics) }
    }

    /// Does what is to be done, again and again; never ends.
    pub async fn run(self) {
        let Self { engine, options, .. } = &self;
        let scrub = Scrub::new(engine.clone(), options.scrub_every, options.scrub_rate);
        tokio::join!(self.rounds(), scrub.run());
    }

    async fn rounds(&self) {
        loop {
            self.round().await;
            self.pause().await;
        }
    }

    /// One round.
    async fn round(&self) {
        self.engine.sweep();
        self.feeds.sweep();
        let store = std::sync::Arc::clone(self.engine.store());
        let stats = blocking(move || {
            store.gc(unix_now());
            if !store.writable() {
                store.probe();
            }
            store.stats()
        })
        .await;
        self.health.set(CONDITION, condition(&stats));
        self.shown.show(&stats);
    }

    /// Waits for the next round, which comes at once when the disk begins to refuse.
    async fn pause(&self) {
        let store = self.engine.store();
        let writable = store.writable();
        let whole = self.options.upkeep_every;
        let whole = if writable { whole } else { whole.min(PROBE_EVERY) };
        let started = tokio::time::Instant::now();
        while started.elapsed() < whole {
            let left = whole.saturating_sub(started.elapsed());
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            if store.writable() != writable {
                return;
            }
        }
    }
}

const FULL: &str = "the disk is full; free some of it, or set store.quota";

/// Whether the store can keep what comes, and if not, why and what helps. Pure.
fn condition(stats: &StoreStats) -> Result<(), String> {
    let why = match stats.fault {
        Some(Fault::Full) => FULL,
        Some(Fault::ReadOnly) => "the file system is read-only",
        Some(Fault::Failing) => "the disk answers writes with errors",
        None if stats.bytes > stats.high_bytes && stats.spare_bytes == 0 => FULL,
        // What is above the mark after a collection could not go.
        None if stats.bytes > stats.high_bytes => {
            "all that it may hold is in use or pinned; raise store.quota, or unpin something"
        }
        None => return Ok(()),
    };
    Err(format!("{why}. What is stored is served on; pulls go through without being kept"))
}

/// What `/metrics` says of the store.
#[derive(Debug)]
struct Shown {
    used: Gauge,
    quota: Gauge,
    writable: Gauge,
    evicted: Counter,
    corrupt: Counter,
}

impl Shown {
    fn new(metrics: &telemetry::metrics::Metrics) -> Self {
        Self {
            used: metrics.gauge("store_used_bytes", "Bytes of tasks in the store"),
            quota: metrics.gauge("store_quota_bytes", "The most bytes that the store may hold"),
            writable: metrics.gauge("store_writable", "1 while the store takes writes, else 0"),
            evicted: metrics.counter("store_evicted_bytes", "Bytes evicted to make room"),
            corrupt: metrics.counter(
                "store_corrupt_pieces",
                "Stored pieces that were no longer what they were",
            ),
        }
    }

    fn show(&self, stats: &StoreStats) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.used.set(signed(stats.bytes));
        self.quota.set(signed(stats.quota_bytes));
        self.writable.set(i64::from(stats.fault.is_none()));
        for (counter, now) in
            [(&self.evicted, stats.evicted_bytes), (&self.corrupt, stats.corrupt_pieces)]
        {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: StoreStats = StoreStats {
        tasks: 1,
        bytes: 50,
        pinned_bytes: 0,
        quota_bytes: 100,
        high_bytes: 90,
        low_bytes: 80,
        spare_bytes: 1000,
        fault: None,
        corrupt_pieces: 0,
        evicted_tasks: 0,
        evicted_bytes: 0,
    };

    #[test]
    fn readiness_names_what_is_wrong_and_what_helps() {
        assert_eq!(condition(&FINE), Ok(()));
        let told = |stats: StoreStats| condition(&stats).expect_err("it is not fine");
        let full = told(StoreStats { fault: Some(Fault::Full), ..FINE });
        assert!(full.contains("full") && full.contains("store.quota"), "{full}");
        let read_only = told(StoreStats { fault: Some(Fault::ReadOnly), ..FINE });
        assert!(read_only.contains("read-only"), "{read_only}");
        let brim = told(StoreStats { bytes: 95, spare_bytes: 0, ..FINE });
        assert_eq!(brim, full);
        let crowded = told(StoreStats { bytes: 95, pinned_bytes: 95, ..FINE });
        assert!(crowded.contains("pinned"), "{crowded}");
    }

    #[test]
    fn options_reach_the_store() {
        let options = StoreOptions {
            quota: ByteSize::mib(5),
            reserve: Some(ByteSize::mib(1)),
            ..StoreOptions::default()
        };
        let config = options.store("x");
        assert_eq!((config.quota_bytes, config.reserve_bytes), (5 << 20, Some(1 << 20)));
    }
}
