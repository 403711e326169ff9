//! `nydusd` over a chunk cache of its own, and the page cache.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::net::sockopt::socket_peercred;
use testbed::Spot;
use testbed::process::binary;

/// A chunk cache, and the process that serves what is mounted over it.
#[derive(Debug)]
pub struct Mounts {
    cache: PathBuf,
    spot: Spot,
    mounted: Vec<PathBuf>,
}

impl Mounts {
    /// Nothing is mounted, and nothing is kept in the new folder `cache`. Who serves is at `spot`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(cache: &Path, spot: &Spot) -> anyhow::Result<Self> {
        std::fs::create_dir_all(cache)?;
        Ok(Self { cache: cache.to_owned(), spot: spot.clone(), mounted: Vec::new() })
    }

    /// Mounts an image on the folder `at`, which is made, with further arguments.
    ///
    /// # Errors
    /// What `nydusd` says.
    pub fn mount(&mut self, image: &str, at: &Path, more: &[&str]) -> anyhow::Result<()> {
        std::fs::create_dir_all(at)?;
        let mut command = self.spot.command(binary("nydusd")?);
        command.arg("mount").args(more).arg("--cache-dir").arg(&self.cache).arg(image).arg(at);
        done(&mut command)?;
        self.mounted.push(at.to_owned());
        Ok(())
    }

    /// Unmounts what is mounted on `at`, and waits until nobody serves it any more.
    ///
    /// # Errors
    /// If it is in use.
    pub fn umount(&mut self, at: &Path) -> anyhow::Result<()> {
        done(Command::new(binary("nydusd")?).arg("umount").arg(at))?;
        self.mounted.retain(|mounted| mounted != at);
        let begun = Instant::now();
        while self.told()?.contains(&format!("{}\t", at.display())) {
            ensure!(begun.elapsed() < Duration::from_secs(10), "{} stays", at.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The id of the process that serves.
    ///
    /// # Errors
    /// If there is none.
    pub fn process(&self) -> anyhow::Result<u32> {
        let socket = UnixStream::connect(self.cache.join("nydusd.sock"))?;
        Ok(u32::try_from(socket_peercred(&socket)?.pid.as_raw_nonzero().get())?)
    }

    fn told(&self) -> anyhow::Result<String> {
        let mut command = Command::new(binary("nydusd")?);
        let output = command.arg("ls").arg("--cache-dir").arg(&self.cache).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Mounts {
    /// Who serves ends with its last mount.
    fn drop(&mut self) {
        for at in &self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(at).status();
        }
        let begun = Instant::now();
        while self.process().is_ok() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What the kernel is to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forget {
    /// Names and inodes.
    Inodes,
    /// These, and the pages of files.
    All,
}

/// Empties the kernel's caches, of everything on the machine.
///
/// # Errors
/// Without root.
pub fn forget(what: Forget) -> anyhow::Result<()> {
    rustix::fs::sync();
    let number = if what == Forget::All { "3" } else { "2" };
    std::fs::write("/proc/sys/vm/drop_caches", number).context("caches cannot be emptied: root")
}

/// Runs a program to its end.
///
/// # Errors
/// If it fails: what it said.
pub fn done(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    Ok(output.stdout)
}
