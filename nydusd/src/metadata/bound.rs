//! How much metadata stays on the disk that nobody uses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::documents::DOCUMENTS;
use super::kept::RECORD;
use crate::mounts::BOOTSTRAP;

/// No more bytes than that: bootstraps of some ten large images.
const BYTES: u64 = 1 << 30;

/// No more bootstraps than that.
const COUNT: usize = 256;

/// A kept bootstrap.
#[derive(Debug)]
struct Entry {
    name: String,
    length: u64,
    used: SystemTime,
}

/// Removes what a killed process left: files in the making, and halves.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn tidy(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let other = |end: &str, other: &str| {
            name.strip_suffix(end).map(|name| folder.join(format!("{name}{other}")))
        };
        let other = other(BOOTSTRAP, RECORD).or_else(|| other(RECORD, BOOTSTRAP));
        if name != DOCUMENTS && !other.is_some_and(|other| other.exists()) {
            remove(&path);
        }
    }
    Ok(())
}

/// Removes those that were not used for longest, but for those in `used`, until there are few
/// enough, and not too long ones.
pub(super) fn bound(folder: &Path, used: &[String]) {
    let (mut bytes, mut count) = (0_u64, 0_usize);
    for entry in newest_first(folder) {
        bytes = bytes.saturating_add(entry.length);
        count = count.saturating_add(1);
        if (bytes > BYTES || count > COUNT) && !used.contains(&entry.name) {
            forget(folder, &entry.name);
        }
    }
}

/// Removes all that are not in `used`: the disk is full.
pub(super) fn make_room(folder: &Path, used: &[String]) {
    for entry in newest_first(folder).iter().filter(|entry| !used.contains(&entry.name)) {
        forget(folder, &entry.name);
    }
}

fn newest_first(folder: &Path) -> Vec<Entry> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(RECORD)?.to_owned();
            let length = fs::metadata(folder.join(format!("{name}{BOOTSTRAP}"))).ok()?.len();
            Some(Entry { name, length, used: fs::metadata(&path).ok()?.modified().ok()? })
        })
        .collect();
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.used));
    entries
}

fn forget(folder: &Path, name: &str) {
    for end in [RECORD, BOOTSTRAP] {
        remove(&folder.join(format!("{name}{end}")));
    }
}

fn remove(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "metadata that nobody uses cannot be removed");
    }
}
