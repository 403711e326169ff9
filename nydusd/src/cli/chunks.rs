//! How chunks come and are kept, and how images are mounted.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use telemetry::units::ByteSize;

use crate::driver::Driver;
use crate::node::Supply;

/// How chunks come and are kept, and how images are mounted.
#[derive(Debug, Clone, Args)]
pub(super) struct ChunkArgs {
    #[command(flatten)]
    supply: SupplyArgs,
    /// The way into the kernel
    #[arg(long, value_enum, env = "MEGANEURA_DRIVER", default_value_t = Driver::Auto)]
    pub(super) driver: Driver,
}

impl ChunkArgs {
    /// How a process gets and keeps chunks: for all of its mounts.
    pub(super) fn supply(&self) -> Supply {
        self.supply.supply()
    }
}

/// How chunks come and are kept.
#[derive(Debug, Clone, Args)]
pub(super) struct SupplyArgs {
    /// How much chunks may take in the cache; those that were not used for longest go first
    #[arg(long, value_name = "SIZE", env = "MEGANEURA_CACHE_SIZE", default_value = "64GiB")]
    cache_size: ByteSize,
    /// The unix socket of the node's dfdaemon, by way of which images in registries are fetched;
    /// where nobody listens on it, the registry is asked
    #[arg(
        long,
        value_name = "FILE",
        env = "MEGANEURA_DFDAEMON_SOCKET",
        default_value = "/run/meganeura/dfdaemon.sock"
    )]
    dfdaemon: PathBuf,
    /// How long a read waits, in seconds, while nobody gives what it wants: then it fails, and the
    /// next one tries again
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MEGANEURA_READ_LIMIT",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    read_limit: u64,
}

impl SupplyArgs {
    /// How a process gets and keeps chunks: for all of its mounts.
    pub(super) fn supply(&self) -> Supply {
        Supply {
            quota: self.cache_size.as_u64(),
            dfdaemon: self.dfdaemon.clone(),
            read_limit: Duration::from_secs(self.read_limit),
        }
    }
}
