//! Which chunks a read of a file takes.

use std::ops::Range;

use rafs::bootstrap::{FileChunk, FileChunks};
use rafs::{ChunkInfo, RafsError};

/// A part of a chunk that a read takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The chunk.
    pub chunk: ChunkInfo,
    /// Which of its bytes.
    pub within: Range<usize>,
    /// Where in the read they go.
    pub into: Range<usize>,
}

/// The parts that `length` bytes of a file from `offset` on are made of, in order. The range must
/// lie within the file.
pub fn parts<'a>(
    chunks: &'a FileChunks<'a>,
    offset: u64,
    length: usize,
) -> impl Iterator<Item = Result<Part, RafsError>> + 'a {
    let end = offset.saturating_add(length as u64);
    let first = chunks.number_at(offset);
    (first..chunks.len())
        .map(|number| chunks.get(number))
        .take_while(move |chunk| !chunk.as_ref().is_ok_and(|chunk| chunk.file_offset >= end))
        .map(move |chunk| chunk.map(|chunk| part(&chunk, offset, end)))
}

fn part(chunk: &FileChunk, offset: u64, end: u64) -> Part {
    let chunk_end = chunk.file_offset.saturating_add(u64::from(chunk.info.uncompressed_size));
    let (from, to) = (offset.max(chunk.file_offset), end.min(chunk_end));
    // A chunk has at most 16 MiB, and a read is in memory.
    let small = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let within = |at: u64| small(at.saturating_sub(chunk.file_offset));
    let into = |at: u64| small(at.saturating_sub(offset));
    Part { chunk: chunk.info, within: within(from)..within(to), into: into(from)..into(to) }
}
