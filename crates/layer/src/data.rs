//! A member's data, holes and all.

use std::fmt;
use std::io::{self, Read};

pub use crate::sparse::Extent;

/// Where stored bytes come from.
pub(crate) trait Stored {
    /// Reads some of the member's stored bytes; an end before the last of them is an error.
    fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What comes next in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// So many zeros that nobody wrote.
    Hole(u64),
    /// So many bytes of data.
    Data(u64),
}

/// A regular file's bytes, to be read once. What is not read is passed over.
///
/// As a reader it yields zeros for holes; who wants to do better asks [`Self::part`].
pub struct FileData<'a> {
    stored: &'a mut dyn Stored,
    extents: &'a [Extent],
    size: u64,
    at: u64,
}

impl<'a> FileData<'a> {
    /// The extents must fit the size and what is stored.
    pub(crate) fn new(stored: &'a mut dyn Stored, extents: &'a [Extent], size: u64) -> Self {
        let mut data = Self { stored, extents, size, at: 0 };
        // Drops extents that are empty where the file begins.
        data.advance(0);
        data
    }

    /// How many bytes the file has, holes among them.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What comes next, until it changes; `None` at the end.
    #[must_use]
    pub fn part(&self) -> Option<Part> {
        let left = self.size.checked_sub(self.at).filter(|left| *left > 0)?;
        Some(match self.extents.first() {
            Some(extent) if extent.offset > self.at => {
                Part::Hole(extent.offset.saturating_sub(self.at).min(left))
            }
            Some(extent) => {
                let end = extent.offset.saturating_add(extent.length);
                Part::Data(end.saturating_sub(self.at).min(left))
            }
            None => Part::Hole(left),
        })
    }

    /// Passes over at most `length` bytes of a hole; how many there were.
    pub fn skip_hole(&mut self, length: u64) -> u64 {
        let Some(Part::Hole(hole)) = self.part() else { return 0 };
        let skipped = hole.min(length);
        self.advance(skipped);
        skipped
    }

    fn advance(&mut self, by: u64) {
        self.at = self.at.saturating_add(by);
        while let Some((first, rest)) = self.extents.split_first()
            && first.offset.saturating_add(first.length) <= self.at
        {
            self.extents = rest;
        }
    }
}

impl Read for FileData<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let upto = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.part() {
            None => 0,
            Some(Part::Hole(length)) => {
                let zeros = upto(length);
                buffer.get_mut(..zeros).unwrap_or_default().fill(0);
                zeros
            }
            Some(Part::Data(length)) => {
                let length = upto(length);
                self.stored.read_stored(buffer.get_mut(..length).unwrap_or_default())?
            }
        };
        self.advance(read as u64);
        Ok(read)
    }
}

impl fmt::Debug for FileData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileData").field("size", &self.size).field("at", &self.at).finish()
    }
}
