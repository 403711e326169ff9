//! The folders of an index: the one that is used, the new one, the damaged one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::IndexError;
use crate::flock;

/// Where a new index is made while the old one is still there.
pub(super) fn unnamed(path: &Path) -> PathBuf {
    path.with_extension("new")
}

pub(super) fn remove(path: &Path) -> Result<(), IndexError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(IndexError::why(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Keeps one unreadable index for whoever wants to know why.
pub(super) fn set_aside(path: &Path) -> Result<(), IndexError> {
    let aside = path.with_extension("damaged");
    remove(&aside)?;
    fs::rename(path, aside).map_err(|error| IndexError::why(error.to_string()))
}

/// Waits until nobody has sled's file locked: it asks for the lock only once.
pub(super) fn wait_for_lock(path: &Path) -> io::Result<()> {
    match File::open(path.join("db")) {
        Ok(file) if flock::exclusive(&file)? => Ok(()),
        Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
