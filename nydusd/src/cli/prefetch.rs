//! What is prefetched.

use clap::Args;
use telemetry::units::ByteSize;

use crate::prefetch::{PrefetchOrder, What};

/// What is prefetched.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Prefetch")]
pub(super) struct PrefetchArgs {
    /// How much of the image is fetched before it is read
    #[arg(long, value_enum, env = "MEGANEURA_PREFETCH", default_value_t = What::Listed)]
    prefetch: What,
    /// How much a second, as it is stored, of all mounts with the same rate together; 0 for as much as comes
    #[arg(long, value_name = "SIZE", env = "MEGANEURA_PREFETCH_RATE", default_value = "0")]
    prefetch_rate: ByteSize,
    /// By how many requests at one time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=16)
    )]
    prefetch_threads: u8,
}

impl PrefetchArgs {
    pub(super) fn order(&self) -> PrefetchOrder {
        PrefetchOrder {
            what: self.prefetch,
            rate: self.prefetch_rate.as_u64(),
            threads: usize::from(self.prefetch_threads),
            first: Vec::new(),
        }
    }
}
