//! How much room the disk has, and whether it takes writes at all.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::error::PutError;
use crate::lock::lock;

/// Why the store takes no writes now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The disk, or the user's share of it, is full.
    Full,
    /// The file system is read-only.
    ReadOnly,
    /// The disk answers writes with errors.
    Failing,
}

impl Fault {
    /// What an error of the operating system says about the disk, if it says anything.
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Some(Self::Failing)
            }
            _ => None,
        }
    }

    fn as_io(self) -> io::Error {
        match self {
            Self::Full => rustix::io::Errno::NOSPC,
            Self::ReadOnly => rustix::io::Errno::ROFS,
            Self::Failing => rustix::io::Errno::IO,
        }
        .into()
    }
}

/// The file system of one store.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    reserve: u64,
    /// So many bytes may be written before the file system is asked again.
    allowance: AtomicI64,
    fault: Mutex<Option<Fault>>,
}

/// The file system is asked at least once in so many written bytes: others write on it too.
const ASK_EVERY: u64 = 64 << 20;

/// With less than this, the size of the largest piece, a disk counts as full.
pub(crate) const LEAST_SPARE: u64 = content::PieceSize::MAX as u64;

/// What a probe writes.
const PROBE: usize = 64 * 1024;

impl Space {
    pub(crate) const fn new(dir: PathBuf, reserve: u64) -> Self {
        Self { dir, reserve, allowance: AtomicI64::new(0), fault: Mutex::new(None) }
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        *lock(&self.fault)
    }

    /// Refuses at once while the disk takes no writes.
    pub(crate) fn check(&self) -> Result<(), PutError> {
        match self.fault() {
            Some(fault) => Err(PutError::of_io(&self.dir, fault.as_io())),
            None => Ok(()),
        }
    }

    /// Whether `bytes` more can be written without touching the reserve.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.allowance.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
            return true;
        }
        let spare = self.spare();
        // Half of what there is, so that the last part is watched ever more closely.
        let allowed = i64::try_from((spare / 2).min(ASK_EVERY)).unwrap_or(0);
        self.allowance.store(allowed, Ordering::Relaxed);
        spare >= bytes.unsigned_abs()
    }

    /// The size of the file system, and how much of it is free.
    pub(crate) fn size_and_free(&self) -> io::Result<(u64, u64)> {
        size_and_free(&self.dir)
    }

    /// How many bytes are free beyond the reserve. A file system that does not say is taken to
    /// have room: it will refuse by itself.
    pub(crate) fn spare(&self) -> u64 {
        size_and_free(&self.dir).map_or(u64::MAX / 4, |(_, free)| free.saturating_sub(self.reserve))
    }

    /// The disk could not be kept above its reserve.
    pub(crate) fn reserve_reached(&self) -> PutError {
        self.set(Fault::Full);
        PutError::of_io(&self.dir, Fault::Full.as_io())
    }

    /// Learns from an error that a write met.
    pub(crate) fn learn(&self, error: &PutError) {
        let (PutError::Full { source, .. }
        | PutError::ReadOnly { source, .. }
        | PutError::Io { source, .. }) = error
        else {
            return;
        };
        if let Some(fault) = Fault::of(source) {
            self.set(fault);
        }
    }

    fn set(&self, fault: Fault) {
        if lock(&self.fault).replace(fault) != Some(fault) {
            tracing::error!(dir = %self.dir.display(), ?fault, "the store's disk takes no writes; what is stored is served on");
        }
    }

    /// Tries a small write; says whether the disk takes writes.
    pub(crate) fn probe(&self) -> bool {
        let outcome =
            if self.spare() < LEAST_SPARE { Err(Fault::Full.as_io()) } else { self.try_write() };
        let fault = match outcome {
            Ok(()) => None,
            // An unknown error is no reason to begin to write again.
            Err(error) => Some(Fault::of(&error).unwrap_or(Fault::Failing)),
        };
        let before = std::mem::replace(&mut *lock(&self.fault), fault);
        if before.is_some() && fault.is_none() {
            tracing::info!(dir = %self.dir.display(), "the store's disk takes writes again");
        }
        self.allowance.store(0, Ordering::Relaxed);
        fault.is_none()
    }

    fn try_write(&self) -> io::Result<()> {
        let path = self.dir.join("probe");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(&[0; PROBE])?;
                // Only a synced write shows a failing disk.
                file.sync_all()
            });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

/// The size of the file system under `dir`, and how much of it this user may still fill.
pub(crate) fn size_and_free(dir: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(dir)?;
    let unit = stat.f_frsize;
    Ok((stat.f_blocks.saturating_mul(unit), stat.f_bavail.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_of_the_disk_or_not() {
        let fault = |errno: rustix::io::Errno| Fault::of(&errno.into());
        assert_eq!(fault(rustix::io::Errno::NOSPC), Some(Fault::Full));
        assert_eq!(fault(rustix::io::Errno::DQUOT), Some(Fault::Full));
        assert_eq!(fault(rustix::io::Errno::ROFS), Some(Fault::ReadOnly));
        assert_eq!(fault(rustix::io::Errno::IO), Some(Fault::Failing));
        assert_eq!(fault(rustix::io::Errno::MFILE), None);
    }

    #[test]
    fn a_reserve_that_cannot_be_kept_ends_writing_until_a_probe_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let tight = Space::new(folder.path().to_owned(), u64::MAX);
        assert!(!tight.take(1));
        let error = tight.reserve_reached();
        assert!(matches!(error, PutError::Full { .. }));
        assert!(tight.check().is_err());
        assert!(!tight.probe());
        let roomy = Space::new(folder.path().to_owned(), 0);
        roomy.learn(&error);
        assert_eq!(roomy.fault(), Some(Fault::Full));
        assert!(roomy.probe());
        assert!(roomy.check().is_ok() && roomy.take(1));
    }
}
