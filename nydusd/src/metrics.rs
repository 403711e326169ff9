//! What `/metrics` says beside the counters of reads: mounts, chunks and the chunk cache, read when it is
//! asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use telemetry::health::Health;
use telemetry::metrics::Metrics;
use web::status::Status;

use crate::driver::Driver;
use crate::node::Node;

/// What must be so before the process is ready.
pub(crate) const CONDITION: &str = "mounts";

/// The pages `/healthz`, `/readyz` and `/metrics` of a process with these mounts, and its health.
pub(crate) fn status(node: &Arc<Node>) -> (Status, Health) {
    let metrics = Metrics::new("nydusd", env!("CARGO_PKG_VERSION"));
    metrics.register(|registry| {
        node.tally().register(registry);
        registry.register_collector(Box::new(OfNode(Arc::downgrade(node))));
    });
    let health = Health::awaiting([CONDITION]);
    (Status::new(Arc::new(metrics), health.clone()), health)
}

#[derive(Debug)]
struct OfNode(Weak<Node>);

impl Collector for OfNode {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(node) = self.0.upgrade() else { return Ok(()) };
        let mut drivers = BTreeMap::from([("erofs", 0_i64), ("fuse", 0)]);
        for driver in node.drivers() {
            let name = if driver == Driver::Erofs { "erofs" } else { "fuse" };
            let count = drivers.entry(name).or_default();
            *count = count.saturating_add(1);
        }
        let mut mounts = encoder.encode_descriptor(
            "mounts",
            "What is mounted, by the way into the kernel",
            None,
            ConstGauge::new(0_i64).metric_type(),
        )?;
        for (driver, count) in drivers {
            ConstGauge::new(count).encode(mounts.encode_family(&[("driver", driver)])?)?;
        }
        let mut show = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let (chunks, pending) = (node.chunks(), node.pending().tell().len() as u64);
        let help = "Mounts that another process had and that are not back yet";
        show("mounts_pending", help, &gauge(pending))?;
        let help = "Chunks that were fetched";
        show("chunks_fetched", help, &ConstCounter::new(chunks.fetched))?;
        let help = "Bytes of chunks that were fetched, uncompressed";
        show("chunks_fetched_bytes", help, &ConstCounter::new(chunks.fetched_bytes))?;
        let help = "Chunks of an earlier run that were found on disk and right";
        show("chunks_recovered", help, &ConstCounter::new(chunks.recovered))?;
        let help = "Chunks of an earlier run that were found wrong, and dropped";
        show("chunks_damaged", help, &ConstCounter::new(chunks.damaged))?;
        let help = "Chunks that were handed on and not kept";
        show("chunks_unkept", help, &ConstCounter::new(chunks.unkept))?;
        let (left, left_bytes) = node.to_prefetch();
        let help = "Chunks that are still to be prefetched for the mounts that there are";
        show("prefetch_left_chunks", help, &gauge(left))?;
        show("prefetch_left_bytes", "Their bytes, uncompressed", &gauge(left_bytes))?;
        show("cache_held_bytes", "Bytes that the chunk cache holds", &gauge(chunks.held))?;
        show("cache_quota_bytes", "Bytes that it may hold", &gauge(node.quota()))
    }
}
