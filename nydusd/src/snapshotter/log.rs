//! The log as a file that does not grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use telemetry::logs::LogConfig;

/// What is logged at a level.
#[must_use]
pub fn config(level: &str) -> LogConfig {
    // The library says at `info` and `warn` what we say ourselves, or need not say.
    LogConfig { level: format!("{level},fuser=error"), ..LogConfig::default() }
}

/// A file that takes what this process says on its standard error.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    longest: Option<u64>,
    file: File,
}

impl LogFile {
    /// Says everything into the file at `path` from now on. Once it is longer than `longest` bytes,
    /// it is put aside.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn redirect(path: &Path, longest: Option<u64>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = opened(path)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(Self { path: path.to_owned(), longest, file })
    }

    /// Puts the file aside if it is too long: as `PATH.1`, in place of the last one.
    ///
    /// # Errors
    /// If the disk says no: then it goes on growing.
    pub fn keep_short(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if self.longest.is_none_or(|longest| length <= longest) {
            return Ok(());
        }
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&self.path, aside)?;
        self.file = opened(&self.path)?;
        Ok(rustix::stdio::dup2_stderr(&self.file)?)
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
