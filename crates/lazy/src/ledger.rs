//! What of a blob's cache file was verified since the process started, and under which digest.
//!
//! Presence on disk is not enough. A blob may be used by several images, and an image by a stranger
//! may say of a blob whatever it likes: that a chunk lies somewhere else, overlaps another, or has
//! another digest. Its readers get what its own bootstrap proves; the readers of other images must
//! not get that. So every extent is entered with a print of place, length and digest; a chunk is
//! known only if all three are the same, and an extent that overlaps an entry with another print is
//! not kept at all: its chunk is fetched whenever it is read.
//!
//! An entry is reserved before its bytes are written or looked at, and settled after they were
//! verified. Entries never overlap, so nobody writes over what another has entered.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use rafs::ChunkInfo;
use rafs::ondisk::BLOCK;

use crate::extents::{Extent, Extents};

/// What a chunk is and where it lies, in 64 bits under a key that is chosen anew at each start and
/// never told: nobody can make two chunks with one print.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Print(u64);

/// The verified extents of one blob. Pure bookkeeping.
#[derive(Debug, Default)]
pub struct Ledger {
    key: RandomState,
    entries: Extents,
}

/// The blocks that a chunk takes in the cache file.
#[must_use]
pub fn blocks(chunk: &ChunkInfo) -> Range<u64> {
    let end = chunk.uncompressed_offset.saturating_add(u64::from(chunk.uncompressed_size));
    chunk.uncompressed_offset / BLOCK..end.div_ceil(BLOCK)
}

impl Ledger {
    /// The print of a chunk.
    #[must_use]
    pub fn print(&self, chunk: &ChunkInfo) -> Print {
        let place = (chunk.uncompressed_offset, chunk.uncompressed_size);
        Print(self.key.hash_one((place, chunk.digest.0)))
    }

    /// Whether this very chunk was verified.
    #[must_use]
    pub fn knows(&self, chunk: &ChunkInfo) -> bool {
        let entry = self.entries.get(blocks(chunk).start);
        entry.is_some_and(|entry| entry.settled && entry.print == self.print(chunk).0)
    }

    /// Reserves the chunk's extent, or takes its own entry back to where it is only reserved. False
    /// if another chunk has been entered there.
    pub fn reserve(&mut self, chunk: &ChunkInfo) -> bool {
        let (blocks, Print(print)) = (blocks(chunk), self.print(chunk));
        let mut there = self.entries.overlapping(&blocks);
        let own = there.next().is_none_or(|(at, entry)| at == blocks.start && entry.print == print);
        if !own || there.next().is_some() {
            return false;
        }
        drop(there);
        self.entries.insert(blocks.start, Extent { end: blocks.end, print, settled: false })
    }

    /// The bytes of a reserved extent are on disk and verified.
    pub fn settle(&mut self, chunk: &ChunkInfo) {
        let (at, Print(print)) = (blocks(chunk).start, self.print(chunk));
        if let Some(entry) = self.entries.get(at).filter(|entry| entry.print == print) {
            self.entries.insert(at, Extent { settled: true, ..entry });
        }
    }

    /// A reserved extent has no bytes after all.
    pub fn release(&mut self, chunk: &ChunkInfo) {
        let (at, Print(print)) = (blocks(chunk).start, self.print(chunk));
        if self.entries.get(at).is_some_and(|entry| !entry.settled && entry.print == print) {
            self.entries.remove(at);
        }
    }

    /// Forgets what is settled in these blocks, and says which blocks may be given back: all that
    /// were asked for and all of the forgotten, less what is reserved.
    pub fn forget(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let there: Vec<_> = self.entries.overlapping(&range).collect();
        let (mut begin, mut end) = (range.start, range.end);
        let mut free = Vec::new();
        for (at, entry) in there {
            if entry.settled {
                self.entries.remove(at);
                (begin, end) = (begin.min(at), end.max(entry.end));
            } else {
                free.push(begin..at);
                begin = entry.end;
            }
        }
        free.push(begin..end);
        free.retain(|blocks| !blocks.is_empty());
        free
    }

    /// How many extents are entered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
