//! Directories: blocks of entries, sorted by name within and across them.

use std::cmp::Ordering;

use crate::error::RafsError;
use crate::ondisk::BLOCK;
use crate::ondisk::inode::{Dirent as RawDirent, MAX_NAME};
use crate::slice::read_all;

use super::data;
use super::inode::{FileType, Inode, Nid};

/// A directory of a bootstrap.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    bytes: &'a [u8],
    inode: Inode,
}

/// One name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dirent<'a> {
    /// The name: 1 to 255 bytes without `/` and NUL. `.` and `..` are among them.
    pub name: &'a [u8],
    /// What it names.
    pub nid: Nid,
    /// What kind of file that is, as the entry says.
    pub file_type: FileType,
    /// Where the next entry is: for [`Directory::entries_from`]. Not 0, and higher than that of
    /// the entry before.
    pub next: u64,
}

impl Dirent<'_> {
    /// Whether this is `.` or `..`.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        matches!(self.name, b"." | b"..")
    }
}

impl<'a> Directory<'a> {
    pub(crate) const fn new(bytes: &'a [u8], inode: Inode) -> Self {
        Self { bytes, inode }
    }

    /// All names, sorted by their bytes, `.` and `..` among them.
    #[must_use]
    pub const fn entries(&self) -> Entries<'a> {
        self.entries_from(0)
    }

    /// The names from a place on that [`Dirent::next`] said, or from the first one at 0.
    #[must_use]
    pub const fn entries_from(&self, place: u64) -> Entries<'a> {
        let skip = place % BLOCK;
        Entries { directory: *self, number: place / BLOCK, index: skip as usize, block: None }
    }

    /// What `name` names. Takes as many steps as the directory's length has bits.
    ///
    /// # Errors
    /// If the blocks on the way are not a directory's.
    pub fn lookup(&self, name: &[u8]) -> Result<Option<Dirent<'a>>, RafsError> {
        let (mut low, mut high) = (0, self.inode.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            let block = self.block(middle)?;
            if block.name(0)? > name {
                high = middle;
            } else if block.name(block.entries.len() - 1)? < name {
                low = middle + 1;
            } else {
                return block.search(name);
            }
        }
        Ok(None)
    }

    fn block(&self, number: u64) -> Result<Block<'a>, RafsError> {
        let bytes = data::block(self.bytes, &self.inode, number)?;
        Block::parse(bytes, number, self.inode.tail_at())
    }
}

/// The names of a directory, read block by block. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    directory: Directory<'a>,
    number: u64,
    index: usize,
    block: Option<Block<'a>>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Dirent<'a>, RafsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.number >= self.directory.inode.blocks() {
                return None;
            }
            let entry = self.block().and_then(|block| {
                (self.index < block.entries.len()).then(|| block.entry(self.index)).transpose()
            });
            match entry {
                Ok(Some(entry)) => {
                    self.index += 1;
                    return Some(Ok(entry));
                }
                Ok(None) => {
                    (self.number, self.index, self.block) = (self.number + 1, 0, None);
                }
                Err(error) => {
                    self.number = u64::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'a> Entries<'a> {
    fn block(&mut self) -> Result<Block<'a>, RafsError> {
        if let Some(block) = self.block {
            return Ok(block);
        }
        let block = self.directory.block(self.number)?;
        self.block = Some(block);
        Ok(block)
    }
}

/// One block: all entries, then their names.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    bytes: &'a [u8],
    /// At least one.
    entries: &'a [RawDirent],
    number: u64,
    /// What to say in errors.
    at: u64,
}

impl<'a> Block<'a> {
    fn parse(bytes: &'a [u8], number: u64, at: u64) -> Result<Self, RafsError> {
        let bad = || RafsError::corrupt("directory", at, "a block does not begin with entries");
        let one = size_of::<RawDirent>() as u64;
        let first: &[RawDirent] = read_all(bytes, 0, one, "directory")?;
        let length = first.first().map_or(0, |first| u64::from(first.name_at.get()));
        if length == 0 || !length.is_multiple_of(one) {
            return Err(bad());
        }
        let entries = read_all(bytes, 0, length, "directory").map_err(|_| bad())?;
        Ok(Self { bytes, entries, number, at })
    }

    /// The name of entry `index`: up to where the next one's begins; the last one's up to a NUL
    /// or the block's end.
    fn name(&self, index: usize) -> Result<&'a [u8], RafsError> {
        let bad = |why| RafsError::corrupt("directory", self.at, why);
        let entry = self.entries.get(index).ok_or_else(|| bad("there is no such entry"))?;
        let begin = usize::from(entry.name_at.get());
        let name = match self.entries.get(index + 1) {
            Some(next) => self.bytes.get(begin..usize::from(next.name_at.get())),
            None => self.bytes.get(begin..).and_then(|rest| rest.split(|byte| *byte == 0).next()),
        };
        let name = name.ok_or_else(|| bad("a name lies outside of its block"))?;
        if begin < size_of_val(self.entries) || name.is_empty() || name.len() > MAX_NAME {
            return Err(bad("a name is empty, too long, or lies among the entries"));
        }
        if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(bad("a name has a `/` or a NUL in it"));
        }
        Ok(name)
    }

    fn entry(&self, index: usize) -> Result<Dirent<'a>, RafsError> {
        let bad = |why| RafsError::corrupt("directory", self.at, why);
        let raw = self.entries.get(index).ok_or_else(|| bad("there is no such entry"))?;
        let file_type =
            FileType::of_dirent(raw.file_type).ok_or_else(|| bad("an entry's type is unknown"))?;
        // Less than a block's bytes of entries fit into a block.
        let next = self.number.saturating_mul(BLOCK).saturating_add(index as u64 + 1);
        Ok(Dirent { name: self.name(index)?, nid: Nid(raw.nid.get()), file_type, next })
    }

    fn search(&self, name: &[u8]) -> Result<Option<Dirent<'a>>, RafsError> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(name) {
                Ordering::Equal => return self.entry(middle).map(Some),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}
