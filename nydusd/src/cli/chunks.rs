//! How chunks come and are kept, and how images are mounted.

use std::path::PathBuf;

use clap::Args;
use telemetry::units::ByteSize;

use crate::driver::Driver;

/// How chunks come and are kept, and how images are mounted.
#[derive(Debug, Clone, Args)]
pub(super) struct ChunkArgs {
    /// How much chunks may take in the cache; those that were not used for longest go first
    #[arg(long, value_name = "SIZE", env = "MEGANEURA_CACHE_SIZE", default_value = "64GiB")]
    pub(super) cache_size: ByteSize,
    /// The unix socket of the node's dfdaemon, by way of which images in registries are fetched;
    /// where nobody listens on it, the registry is asked
    #[arg(
        long,
        value_name = "FILE",
        env = "MEGANEURA_DFDAEMON_SOCKET",
        default_value = "/run/meganeura/dfdaemon.sock"
    )]
    pub(super) dfdaemon: PathBuf,
    /// The way into the kernel
    #[arg(long, value_enum, env = "MEGANEURA_DRIVER", default_value_t = Driver::Auto)]
    pub(super) driver: Driver,
}
