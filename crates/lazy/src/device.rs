//! Blobs that are all here: the kernel reads their cache files itself.
//!
//! An image that is mounted over such a file goes on reading it when this process is no more, and
//! nobody can tell the next process that it does. So a file that has once served as a device has a
//! mark beside it (`KEY.device`), and no byte of it is overwritten or punched again: the file goes
//! as a whole, by its name, and who has it open keeps every byte.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use crate::lock::lock;
use crate::room::Kept;

/// A blob's cache file, which holds every chunk that an image knows of the blob, each verified since
/// the start. It is not evicted before this is dropped.
#[derive(Debug)]
pub struct Device {
    file: Arc<File>,
    data: PathBuf,
    users: Arc<Mutex<Users>>,
    _kept: Kept,
}

/// Who uses a cache file as a device.
#[derive(Debug, Default)]
pub(crate) struct Users {
    now: usize,
    /// Whether anybody ever did, in this run or before.
    ever: bool,
}

impl Users {
    /// Those of the cache file with its bytes at `data`.
    pub(crate) fn of(data: &Path) -> Self {
        Self { now: 0, ever: is_marked(data) }
    }

    /// Whether no byte of the file may change.
    pub(crate) const fn ever(&self) -> bool {
        self.ever
    }

    /// Whether it serves a mount of this process.
    pub(crate) const fn now(&self) -> bool {
        self.now > 0
    }
}

impl Device {
    /// One more. The caller has locked `users`, and seen that all is there.
    ///
    /// # Errors
    /// If the mark cannot be made: then the file might be punched one day.
    pub(crate) fn new(
        data: &Path,
        file: Arc<File>,
        kept: Kept,
        of: &Arc<Mutex<Users>>,
        mut users: MutexGuard<'_, Users>,
    ) -> std::io::Result<Self> {
        if !users.ever {
            File::create(mark(data))?;
        }
        *users = Users { now: users.now.saturating_add(1), ever: true };
        stamp(data);
        Ok(Self { file, data: data.to_owned(), users: Arc::clone(of), _kept: kept })
    }

    /// The file, laid out as the blob uncompressed.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let mut users = lock(&self.users);
        users.now = users.now.saturating_sub(1);
        drop(users);
        stamp(&self.data);
    }
}

/// Tells the next run that the cache file at `data` is in use: its time is that of its last use.
pub(crate) fn stamp(data: &Path) {
    let stamped = File::open(data).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = stamped {
        tracing::debug!(%error, path = %data.display(), "a use is not noted");
    }
}

/// Whether the cache file at `data` has served as a device. What cannot be told counts as one.
pub(crate) fn is_marked(data: &Path) -> bool {
    mark(data).try_exists().unwrap_or(true)
}

/// The file is gone, and its mark goes after it.
pub(crate) fn unmark(data: &Path) {
    // What stays is removed at the next start.
    let _ = std::fs::remove_file(mark(data));
}

fn mark(data: &Path) -> PathBuf {
    data.with_extension("device")
}
