//! What is read of a mount that may be damaged: right, or an error.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Every regular file under `at`, relative to it.
pub(crate) fn files(at: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![at.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(at).unwrap().to_owned());
            }
        }
    }
    found
}

/// Reads all of both; those of `found` are the same or an I/O error. How many were the latter.
pub(crate) fn same_or_error(expected: &Path, found: &Path) -> usize {
    let mut errors = 0;
    for file in files(expected) {
        match fs::read(found.join(&file)) {
            Ok(bytes) => {
                assert!(bytes == fs::read(expected.join(&file)).unwrap(), "{}", file.display());
            }
            Err(error) => {
                assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{}", file.display());
                errors += 1;
            }
        }
    }
    errors
}
