//! Under which name a bootstrap is kept.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use content::Digest;

/// A file that was changed so lately may be changed once more without a new time of change: clocks of
/// file systems tick every few milliseconds, on some every second or two.
const SETTLED: Duration = Duration::from_secs(3);

/// What names a bootstrap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// The layer of this digest that it came in.
    Layer(Digest),
    /// A local file as it was at some time: BLAKE3 over where it lies, its inode, its length and its
    /// times.
    File {
        /// The hash.
        hash: [u8; 32],
        /// Whether the file would have another hash by now if it were another one.
        settled: bool,
    },
}

impl Key {
    /// Names the file at `path`, of which the kernel says `metadata` at the time `now`.
    #[must_use]
    pub fn of_file(path: &Path, metadata: &Metadata, now: SystemTime) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_os_str().as_bytes()).update(&[0]);
        for number in [metadata.dev(), metadata.ino(), metadata.len()] {
            hasher.update(&number.to_le_bytes());
        }
        let times = [metadata.mtime(), metadata.mtime_nsec()];
        for number in times.into_iter().chain([metadata.ctime(), metadata.ctime_nsec()]) {
            hasher.update(&number.to_le_bytes());
        }
        let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(changed));
        let age = changed.and_then(|changed| now.duration_since(changed).ok());
        let settled = age.is_some_and(|age| age > SETTLED);
        Self::File { hash: *hasher.finalize().as_bytes(), settled }
    }

    /// Whether what is kept under the name is what is meant.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Layer(_) => true,
            Self::File { settled, .. } => *settled,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(digest) => f.write_str(&digest.to_hex()),
            Self::File { hash, .. } => write!(f, "file-{}", blake3::Hash::from_bytes(*hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap");
        std::fs::write(&path, "one").unwrap();
        let key = |now| Key::of_file(&path, &std::fs::metadata(&path).unwrap(), now);
        let now = SystemTime::now();
        let one = key(now);
        assert!(!one.is_settled(), "it was written this moment");
        let later = key(now + Duration::from_secs(60));
        assert!(later.is_settled());
        assert_eq!(one.to_string(), later.to_string());
        std::fs::write(&path, "two, longer").unwrap();
        assert_ne!(key(now).to_string(), one.to_string());
        // A clock that went back settles nothing.
        assert!(!key(now - Duration::from_secs(3600)).is_settled());
    }
}
