//! Logs: to stderr, as text for people or as JSON for machines.

use std::io::IsTerminal;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::recent::{Recent, Remembering};

/// The `[log]` section of every binary's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged: a level (`info`), or levels by module (`info,peer=debug`).
    pub level: String,
    /// How a line looks.
    pub format: Format,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Libraries that at `debug` say more than all of ours.
const CHATTY: &str = "sled=info,quinn=info,quinn_proto=info,rustls=info,hyper=info,h2=info";

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not a list of filter directives.
    #[error(
        "log.level {level:?} is not understood ({reason}); use error, warn, info, debug or trace, or levels by module as in \"info,peer=debug\""
    )]
    Level {
        /// What was given.
        level: String,
        /// What the parser says of it.
        reason: String,
    },
    /// What this process logs is not to be changed.
    #[error("what this process logs is fixed")]
    Fixed,
    /// This process logs already.
    #[error("logging was set up twice in this process")]
    Twice,
}

impl LogConfig {
    /// Checks the level without changing anything (`--check-config`).
    pub fn check(&self) -> Result<(), LogError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LogError> {
        // What the operator says of these later in the list goes before it.
        EnvFilter::try_new(format!("{CHATTY},{}", self.level)).map_err(|error| LogError::Level {
            level: self.level.clone(),
            reason: error.to_string(),
        })
    }
}

/// Sends this process's logs to stderr. Call it once, in `main`.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(config.filter()?)
        .with_writer(std::io::stderr)
        // A line that cannot be written (to a file on a full disk, a pipe that nobody reads) is lost.
        // Saying so on the same stderr would panic, in whatever thread had something to say.
        .log_internal_errors(false);
    let done = match config.format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LogError::Twice)
}

/// How what is logged is changed.
static CHANGE: OnceLock<Handle<EnvFilter, Formatter>> = OnceLock::new();

/// What was said last at `warn` and above, in a process that logs by [`init_changeable`].
static RECENT: Recent = Recent::new();

/// What this process said last at `warn` and above; nothing if it logs by [`init`].
#[must_use]
pub fn recent() -> &'static Recent {
    &RECENT
}

/// As [`init`], as text, but what is logged can be changed later ([`change`]), and what went wrong
/// last is remembered ([`recent`]); each line costs a little more.
pub fn init_changeable(config: &LogConfig) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(config.filter()?)
        .with_writer(Remembering(&RECENT))
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.try_init().map_err(|_| LogError::Twice)?;
    CHANGE.set(handle).map_err(|_| LogError::Twice)
}

/// Logs what `config` says from now on.
///
/// # Errors
/// If it is not understood, or the process was not set up so.
pub fn change(config: &LogConfig) -> Result<(), LogError> {
    let filter = config.filter()?;
    CHANGE.get().ok_or(LogError::Fixed)?.reload(filter).map_err(|_| LogError::Fixed)
}

/// Who writes lines, when what is logged can be changed.
type Formatter = tracing_subscriber::layer::Layered<
    tracing_subscriber::fmt::Layer<
        tracing_subscriber::Registry,
        tracing_subscriber::fmt::format::DefaultFields,
        tracing_subscriber::fmt::format::Format,
        Remembering,
    >,
    tracing_subscriber::Registry,
>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_may_be_given_by_module() {
        let config = LogConfig { level: "warn,peer=trace".into(), ..LogConfig::default() };
        assert!(config.check().is_ok());
    }

    #[test]
    fn a_wrong_level_says_what_is_accepted() {
        let config = LogConfig { level: "info,peer=loud".into(), ..LogConfig::default() };
        let told = config.check().expect_err("\"loud\" is no level").to_string();
        assert!(told.contains("info,peer=loud"), "{told}");
        assert!(told.contains("debug"), "{told}");
    }
}
