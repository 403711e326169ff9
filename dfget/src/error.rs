//! What went wrong, and the exit code that says so.

use std::path::PathBuf;
use std::process::ExitCode;

use content::Digest;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The bytes are not what their digest says.
    #[error("the file's digest is {actual}, not {expected}; it was not kept")]
    Mismatch {
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The server, or the registry, refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The bytes cannot be had.
    #[error("{0}")]
    Unreachable(String),
    /// The dfdaemon gave the question back: what it is asked for is not shared.
    #[error("dfdaemon does not fetch it: {0}")]
    NotShared(String),
}

impl Error {
    /// The process's exit code, as `--help` lists them.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Mismatch { .. } => 3,
            Self::Refused(_) => 4,
            Self::File { .. } => 5,
            Self::Unreachable(_) => 6,
            Self::NotShared(_) => 1,
        })
    }

    /// Wraps an I/O error with the file that it befell.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Refused(_) => Self::Refused(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}
