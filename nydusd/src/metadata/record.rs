//! What is written beside a kept bootstrap, and when that is believed. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use content::Digest;
use serde::{Deserialize, Serialize};

/// The form of records. Those of another one are not read: what they are of is fetched again.
const VERSION: u32 = 1;

/// A file is hashed again after so many seconds, however unchanged it looks: a day.
const AGAIN: u64 = 86_400;

/// What a kept file is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The whole file's BLAKE3.
    pub blake3: blake3_text::Hash,
    /// The whole file's length, in bytes.
    pub length: u64,
    /// How many bytes of it are the bootstrap; it comes first.
    pub bootstrap: u64,
    /// The bootstrap's SHA-256, where a blob is named by it.
    pub sha256: Option<Digest>,
    /// The merkle root of its tree, if somebody asked for it.
    pub root: Option<Digest>,
    /// Where each blob's compression info lies, for those with batches.
    pub metas: BTreeMap<Digest, Range<u64>>,
    /// When the file was hashed last, and found to be so.
    pub seen: Option<Seen>,
}

/// A file as the kernel shows it, at some time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Since which start of the machine (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The file system's number.
    pub device: u64,
    /// The inode's.
    pub inode: u64,
    /// When the inode was changed: seconds and nanoseconds.
    pub changed: (i64, i64),
    /// When that was: seconds since 1970.
    pub at: u64,
}

impl Record {
    /// Of a file of so many bytes with this hash, of which the first `bootstrap` are the bootstrap.
    #[must_use]
    pub fn new(hash: blake3::Hash, length: u64, bootstrap: u64) -> Self {
        let (blake3, metas) = (blake3_text::Hash(hash), BTreeMap::new());
        let (sha256, root, seen) = (None, None, None);
        Self { version: VERSION, blake3, length, bootstrap, sha256, root, metas, seen }
    }

    /// Reads a record; `None` if it is none, or says what cannot be.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let inside = |range: &Range<u64>| range.start <= range.end && range.end <= record.length;
        let bootstrap = 0..record.bootstrap;
        let possible = std::iter::once(&bootstrap).chain(record.metas.values()).all(inside);
        (record.version == VERSION && record.bootstrap > 0 && possible).then_some(record)
    }

    /// Its bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the file was hashed since it was changed last, in this run of the machine, and not too
    /// long ago; `now` is how it looks.
    #[must_use]
    pub fn is_fresh(&self, now: &Seen) -> bool {
        let Some(seen) = &self.seen else { return false };
        // A clock that was set back makes nothing fresh.
        let age = now.at.checked_sub(seen.at);
        Seen { at: now.at, ..seen.clone() } == *now && age.is_some_and(|age| age < AGAIN)
    }
}

/// BLAKE3 hashes as text.
pub mod blake3_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A hash that is written in hexadecimal.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Hash(pub blake3::Hash);

    impl Serialize for Hash {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Hash {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            blake3::Hash::from_hex(text).map(Self).map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: u64) -> Seen {
        Seen { boot: "b".to_owned(), device: 1, inode: 2, changed: (3, 4), at }
    }

    fn record() -> Record {
        let mut record = Record::new(blake3::hash(b"x"), 100, 60);
        record.metas.insert(Digest::of(b"blob"), 64..100);
        Record { seen: Some(seen(1000)), ..record }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        assert_eq!(Record::read(&record().write()), Some(record()));
    }

    #[test]
    fn what_cannot_be_is_no_record() {
        assert_eq!(Record::read(b""), None);
        assert_eq!(Record::read(b"{}"), None);
        let far = Record { bootstrap: 101, ..record() };
        assert_eq!(Record::read(&far.write()), None);
        let mut odd = record();
        odd.metas.insert(Digest::of(b"other"), Range { start: 9, end: 8 });
        assert_eq!(Record::read(&odd.write()), None);
        assert_eq!(Record::read(&Record { version: 2, ..record() }.write()), None);
    }

    #[test]
    fn any_change_makes_a_file_be_hashed_again() {
        let fresh = |now: Seen| record().is_fresh(&now);
        assert!(fresh(seen(1000)) && fresh(seen(1000 + AGAIN - 1)));
        assert!(!fresh(seen(1000 + AGAIN)) && !fresh(seen(999)));
        assert!(!fresh(Seen { boot: "c".to_owned(), ..seen(1001) }));
        assert!(!fresh(Seen { device: 2, ..seen(1001) }));
        assert!(!fresh(Seen { inode: 3, ..seen(1001) }));
        assert!(!fresh(Seen { changed: (3, 5), ..seen(1001) }));
        assert!(!Record { seen: None, ..record() }.is_fresh(&seen(1001)));
    }
}
