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

/// Where the old one goes while the new one takes its place.
fn former(path: &Path) -> PathBuf {
    path.with_extension("old")
}

/// Ends a renewal that was cut off at any of its steps: at every one of them either the old index is
/// at its place, or the new one is whole.
pub(super) fn settle(path: &Path) -> Result<(), IndexError> {
    let unnamed = unnamed(path);
    if path.exists() {
        remove(&unnamed)?;
    } else if unnamed.exists() {
        rename(&unnamed, path)?;
    }
    remove(&former(path))
}

/// Puts the new index, which is whole and on the disk, in the place of the old one.
pub(super) fn replace(path: &Path) -> Result<(), IndexError> {
    remove(&former(path))?;
    rename(path, &former(path))?;
    settle(path)
}

fn rename(from: &Path, to: &Path) -> Result<(), IndexError> {
    fs::rename(from, to).map_err(|error| IndexError::why(error.to_string()))
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
    rename(path, &aside)
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
