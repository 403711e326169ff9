//! The log as a file that does not grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telemetry::logs::LogConfig;

/// How often it is looked at whether a file has grown too long.
const LOOK: Duration = Duration::from_secs(10);

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

    /// Sees to it that it stays short. Never ends.
    pub async fn kept_short(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.keep_short() {
                tracing::warn!(%error, "the log cannot be put aside");
            }
        }
    }

    /// Puts the file aside if it is too long: as `PATH.1`, in place of the last one.
    ///
    /// # Errors
    /// If the disk says no: then it goes on growing.
    fn keep_short(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if self.longest.is_none_or(|longest| length <= longest) {
            return Ok(());
        }
        self.file = put_aside(&self.path)?;
        Ok(rustix::stdio::dup2_stderr(&self.file)?)
    }
}

/// Puts a file aside, and opens a new one in its place.
fn put_aside(path: &Path) -> io::Result<File> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".1");
    fs::rename(path, aside)?;
    opened(path)
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_log_but_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = opened(&path).unwrap();
        for line in ["one", "two", "three"] {
            file.write_all(line.as_bytes()).unwrap();
            file = put_aside(&path).unwrap();
        }
        file.write_all(b"four").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("log.1"), read("log")), ("three".to_owned(), "four".to_owned()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
