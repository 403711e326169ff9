//! Folders to mount on: there, and one mount at a time in each.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, bail};

use crate::lock::lock;
use crate::mounts;

/// A folder to mount on, as a path without links in it.
///
/// # Errors
/// If it is not there or no folder; says what to do.
pub fn resolved(at: &Path) -> anyhow::Result<PathBuf> {
    let resolved = match mounts::resolve(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("it is not there (`mkdir -p {}` makes it)", at.display())
        }
        resolved => resolved?,
    };
    match resolved.metadata() {
        Ok(metadata) if !metadata.is_dir() => bail!("it is no folder"),
        // Whoever served it may be dead: then it is taken away.
        Ok(_) => Ok(resolved),
        Err(error) if mounts::is_dead(&error) => Ok(resolved),
        Err(error) => Err(error).context("it cannot be looked at"),
    }
}

/// Where somebody is mounting this moment.
#[derive(Debug, Default)]
pub struct Places(Mutex<BTreeSet<PathBuf>>);

impl Places {
    /// Takes a place until what is returned is dropped.
    ///
    /// # Errors
    /// If another has it.
    pub fn enter(&self, at: &Path) -> anyhow::Result<Place<'_>> {
        if !lock(&self.0).insert(at.to_owned()) {
            bail!("another image is being mounted there this moment");
        }
        Ok(Place { places: self, at: at.to_owned() })
    }
}

/// A place that was taken.
#[derive(Debug)]
pub struct Place<'a> {
    places: &'a Places,
    at: PathBuf,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.places.0).remove(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mounts_at_a_place_at_a_time() {
        let places = Places::default();
        let (a, b) = (Path::new("/a"), Path::new("/b"));
        let first = places.enter(a).unwrap();
        assert!(places.enter(a).is_err() && places.enter(b).is_ok());
        drop(first);
        assert!(places.enter(a).is_ok());
    }

    #[test]
    fn what_is_no_folder_is_told_with_what_to_do() {
        let said = |at: &Path| resolved(at).unwrap_err().to_string();
        assert!(said(Path::new("/no/such")).contains("mkdir -p /no/such"));
        assert_eq!(said(Path::new("/proc/self/exe")), "it is no folder");
    }
}
