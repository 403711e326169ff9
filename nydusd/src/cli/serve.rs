//! `nydusd serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use telemetry::logs;

use super::chunks::SupplyArgs;
use super::claim::claim;
use super::file::FileArgs;
use super::logging::LogArgs;
use crate::node::Node;
use crate::{descriptors, serve};

/// Serve mounts until asked to end
///
/// For systemd: Type=notify, and Restart=always. `nydusd mount` on the same cache asks this process.
/// After its end, in order or not, the next one brings every mount back at its place, as the same
/// image, with its cache; what was unmounted stays so. On SIGTERM everything is unmounted, and what is in
/// use is served for 20 s. What cannot be brought back is tried again every 10 s, stops no other, and
/// stands in `nydusd ls`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where chunks are kept. One process uses it at a time, and serves all mounts over it
    #[arg(long, value_name = "DIR", env = "MEGANEURA_CACHE_DIR", default_value = super::mount::CACHE)]
    cache_dir: PathBuf,
    /// Answer /metrics (Prometheus), /healthz and /readyz there, as 127.0.0.1:65004; the unix socket in
    /// the cache's folder answers them too
    #[arg(long, value_name = "ADDR", env = "MEGANEURA_METRICS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    supply: SupplyArgs,
    #[command(flatten)]
    _file: FileArgs,
    /// Check the configuration and exit
    #[arg(long = "check-config", id = "check_config")]
    _check_config: bool,
    /// Print the configuration as it is understood and exit
    #[arg(long = "print-config", id = "print_config")]
    _print_config: bool,
    #[command(flatten)]
    log: LogArgs,
}

impl Serve {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        logs::init(&self.log.config())?;
        sys::keep_large_allocations_apart();
        descriptors::raise();
        let make = || Node::new(&self.cache_dir, &self.supply.supply());
        let node = claim(&self.cache_dir, make, || Ok(false))?;
        let node = node.context("another process has the cache")?.lasting();
        serve::serve(node, &self.cache_dir, self.metrics, None, || {
            telemetry::lifecycle::ready();
            tracing::info!(cache = %self.cache_dir.display(), "ready");
            Ok(None)
        })
    }
}
