//! What is logged.

use clap::Args;
use telemetry::logs::{Format, LogConfig};

use crate::log_file;

/// What is logged.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub(super) struct LogArgs {
    /// error, warn, info, debug or trace, or levels by module (info,lazy=debug)
    #[arg(long, value_name = "LEVEL", env = "MEGANEURA_LOG__LEVEL", default_value = "info")]
    log_level: String,
    /// For people, or one JSON object a line
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MEGANEURA_LOG__FORMAT",
        default_value = "text",
        value_parser = format
    )]
    log_format: Format,
}

impl LogArgs {
    pub(super) fn config(&self) -> LogConfig {
        LogConfig { format: self.log_format, ..log_file::config(&self.log_level) }
    }
}

fn format(word: &str) -> Result<Format, &'static str> {
    match word {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("it is text or json"),
    }
}
