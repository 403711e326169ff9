//! What can be wrong with a configuration, said so that the reader can mend it.

use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value that is not accepted.
    #[error("{}{}: {reason}", path.display(), place(*line))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong and what is accepted. Never a quotation of the line: it may hold a secret.
        reason: String,
    },
    /// A variable names an unknown key, or its value is not accepted.
    #[error("environment variable {variable}: {reason}")]
    Environment {
        /// The variable's name.
        variable: String,
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// The defaults themselves do not read back: a mistake in this program.
    #[error("the built-in defaults are wrong: {0}")]
    Defaults(toml::de::Error),
    /// The configuration cannot be written as TOML: a mistake in this program.
    #[error("the configuration cannot be written as TOML: {0}")]
    Print(toml::ser::Error),
}

fn place(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}
