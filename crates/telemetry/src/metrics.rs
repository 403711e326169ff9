//! What `/metrics` says: counters, gauges and histograms under `meganeura_<binary>_`.
//!
//! Names are in base units and end in them: `…_bytes`, `…_seconds`; a counter is registered
//! without `_total`, which the encoding adds. Labels have few values, known beforehand: never a
//! digest, an address, a path or a request id.
//!
//! Present in every binary: `…_build_info`, and at each scrape `…_process_cpu_seconds_total`,
//! `…_process_resident_memory_bytes`, `…_process_anonymous_memory_bytes` and
//! `…_process_open_fds`.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::process::Process;

/// The content type of [`Metrics::encode`]: OpenMetrics, which Prometheus reads since 2.5.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A label set: what [`EncodeLabelSet`] derives for, and a key of a [`Family`].
pub trait Labels: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static {}

impl<T: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static> Labels for T {}

/// A family of histograms that share their buckets.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
}

impl Metrics {
    /// The metrics of `binary` in `version`, `build_info` and the process's own among them.
    #[must_use]
    pub fn new(binary: &str, version: &str) -> Self {
        let mut registry = Registry::with_prefix(format!("meganeura_{binary}"));
        let build = Info::new([("version".to_owned(), version.to_owned())]);
        registry.register("build", "What this binary was built from", build);
        registry.register_collector(Box::new(Process));
        Self { registry: Mutex::new(registry) }
    }

    /// Lets a library show its own metrics: `metrics.register(|registry| engine.register(registry))`.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A counter. `name` without `_total`, with its unit: `requests`, `sent_bytes`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.shown(name, help, Counter::default())
    }

    /// Counters by label.
    pub fn counters<L: Labels>(&self, name: &str, help: &str) -> Family<L, Counter> {
        self.shown(name, help, Family::default())
    }

    /// A gauge, for what rises and falls: `connections`, `store_used_bytes`.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.shown(name, help, Gauge::default())
    }

    /// Gauges by label.
    pub fn gauges<L: Labels>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.shown(name, help, Family::default())
    }

    /// Durations by label, in seconds, from 1 ms to about 4 minutes. `name` ends in `_seconds`.
    pub fn durations<L: Labels>(&self, name: &str, help: &str) -> Histograms<L> {
        self.shown(name, help, Family::new_with_constructor(seconds))
    }

    /// Sizes by label, in bytes, from 1 KiB to 4 GiB. `name` ends in `_bytes`.
    pub fn sizes<L: Labels>(&self, name: &str, help: &str) -> Histograms<L> {
        self.shown(name, help, Family::new_with_constructor(bytes))
    }

    /// The text that `/metrics` answers, as [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let done = self
            .register(|registry| prometheus_client::encoding::text::encode(&mut text, registry));
        if let Err(error) = done {
            // Writing to a string cannot fail; a metric of our own that refuses would.
            tracing::error!(%error, "the metrics could not be written whole");
        }
        text
    }

    fn shown<M: Metric + EncodeMetric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.register(|registry| registry.register(name, help, metric.clone()));
        metric
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 10))
}

fn bytes() -> Histogram {
    Histogram::new(exponential_buckets(1024.0, 4.0, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Source {
        source: &'static str,
    }

    #[test]
    fn metrics_have_the_binary_s_prefix_and_their_unit() {
        let metrics = Metrics::new("dfdaemon", "1.2.3");
        let received = metrics.counters::<Source>("received_bytes", "Bytes by source");
        let peer = Source { source: "peer" };
        received.get_or_create(&peer).inc_by(7);
        metrics.gauge("connections", "Open connections").set(3);
        let waited = metrics.durations::<Source>("wait_seconds", "Time until the first byte");
        waited.get_or_create(&peer).observe(0.5);
        let text = metrics.encode();
        for line in [
            "meganeura_dfdaemon_build_info{version=\"1.2.3\"} 1",
            "meganeura_dfdaemon_received_bytes_total{source=\"peer\"} 7",
            "meganeura_dfdaemon_connections 3",
            "meganeura_dfdaemon_wait_seconds_count{source=\"peer\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_measured_when_asked() {
        let text = Metrics::new("dfdaemon", "1").encode();
        let value = |name: &str| -> f64 {
            let name = format!("meganeura_dfdaemon_process_{name} ");
            let found = text.lines().find_map(|line| line.strip_prefix(&name));
            found.expect(&text).parse().unwrap()
        };
        assert!(value("cpu_seconds_total") >= 0.0);
        assert!(value("resident_memory_bytes") > 100_000.0);
        assert!(value("anonymous_memory_bytes") > 10_000.0);
        assert!(value("open_fds") >= 3.0);
    }
}
