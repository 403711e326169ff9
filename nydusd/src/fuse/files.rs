//! Which files of one mount are read, if somebody wants that counted. It takes a lock and a map for each
//! read, so it is off unless it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::SystemTime;

use super::traffic::size_slot;
use crate::lock::lock;

/// So many files are counted; those that are read first after that are not. (At 200 bytes each.)
const MOST: usize = 1 << 16;

/// What is counted of files.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counting {
    /// Reads of each.
    pub files: bool,
    /// Which were read, how often, and when first.
    pub pattern: bool,
    /// Which were read since that was asked last.
    pub latest: bool,
}

impl Counting {
    /// Whether anything is.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.files || self.pattern || self.latest
    }
}

/// What was read of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileReads {
    /// Reads that were answered with bytes.
    pub reads: u64,
    /// Reads that were answered with an error.
    pub errors: u64,
    /// Bytes that were answered.
    pub bytes: u64,
    /// Reads by size: from 0, 1 KiB, 4, 16, 64, 128, 512 KiB, 1 MiB on.
    pub sizes: [u64; 8],
    /// When it was read first.
    pub first: SystemTime,
}

/// The files of one mount, by their inodes' numbers.
#[derive(Debug)]
pub struct Files {
    counting: Counting,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    all: BTreeMap<u64, FileReads>,
    latest: BTreeSet<u64>,
}

impl Files {
    /// Counts; `None` if nothing is to be counted.
    #[must_use]
    pub fn new(counting: Counting) -> Option<Self> {
        counting.any().then(|| Self { counting, read: Mutex::default() })
    }

    /// What is counted.
    #[must_use]
    pub const fn counting(&self) -> Counting {
        self.counting
    }

    /// A file was read at `now`, with so many bytes, or an error.
    pub(super) fn read(&self, file: u64, bytes: Option<usize>, now: SystemTime) {
        let read = &mut *lock(&self.read);
        if self.counting.latest && bytes.is_some() && read.latest.len() < MOST {
            read.latest.insert(file);
        }
        if !self.counting.files && !self.counting.pattern
            || read.all.len() >= MOST && !read.all.contains_key(&file)
        {
            return;
        }
        let none = FileReads { reads: 0, errors: 0, bytes: 0, sizes: [0; 8], first: now };
        let one = read.all.entry(file).or_insert(none);
        let Some(bytes) = bytes.map(|bytes| bytes as u64) else {
            one.errors = one.errors.saturating_add(1);
            return;
        };
        one.reads = one.reads.saturating_add(1);
        one.bytes = one.bytes.saturating_add(bytes);
        if let Some(size) = one.sizes.get_mut(size_slot(bytes)) {
            *size = size.saturating_add(1);
        }
    }

    /// All that were read.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, FileReads)> {
        lock(&self.read).all.iter().map(|(file, reads)| (*file, *reads)).collect()
    }

    /// Those that were read since this was asked last: first and last number of each row of them.
    #[must_use]
    pub fn latest(&self) -> Vec<Vec<u64>> {
        rows(std::mem::take(&mut lock(&self.read).latest))
    }
}

/// Numbers that follow one another as their first and last, a number by itself as it is.
fn rows(numbers: BTreeSet<u64>) -> Vec<Vec<u64>> {
    let mut rows: Vec<Vec<u64>> = Vec::new();
    for number in numbers {
        match rows.last_mut() {
            Some(row) if row.last().and_then(|last| last.checked_add(1)) == Some(number) => {
                row.truncate(1);
                row.push(number);
            }
            _ => rows.push(vec![number]),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Counting = Counting { files: true, pattern: true, latest: true };

    #[test]
    fn what_is_read_is_counted_by_file() {
        assert!(Files::new(Counting::default()).is_none());
        let files = Files::new(ALL).unwrap();
        let first = SystemTime::UNIX_EPOCH;
        files.read(9, Some(5000), first);
        files.read(9, Some(1), SystemTime::now());
        files.read(9, None, SystemTime::now());
        files.read(8, None, first);
        let sizes = [1, 0, 1, 0, 0, 0, 0, 0];
        let nine = FileReads { reads: 2, errors: 1, bytes: 5001, sizes, first };
        let eight = FileReads { reads: 0, errors: 1, bytes: 0, sizes: [0; 8], first };
        assert_eq!(files.all(), [(8, eight), (9, nine)]);
        assert_eq!(files.latest(), [[9]]);
        assert!(files.latest().is_empty(), "nothing was read since");
    }

    #[test]
    fn numbers_in_a_row_are_told_by_their_ends() {
        let told = |numbers: &[u64]| rows(numbers.iter().copied().collect());
        assert_eq!(told(&[5, 1, 2, 3, 9, 10]), [vec![1, 3], vec![5], vec![9, 10]]);
        assert_eq!(told(&[0, u64::MAX]), [vec![0], vec![u64::MAX]]);
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn no_image_can_make_it_grow_for_ever() {
        let files = Files::new(ALL).unwrap();
        for file in 0..(MOST as u64 + 1000) {
            files.read(file * 2, Some(1), SystemTime::UNIX_EPOCH);
        }
        files.read(0, Some(1), SystemTime::UNIX_EPOCH);
        assert_eq!((files.all().len(), files.latest().len()), (MOST, MOST));
        assert_eq!(files.all()[0].1.reads, 2, "those that are known go on");
    }
}
