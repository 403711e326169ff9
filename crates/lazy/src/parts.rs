//! Which chunks a read takes: of a file, or of a blob's uncompressed address space.

use std::ops::Range;

use rafs::bootstrap::{FileChunk, FileChunks};
use rafs::{Bootstrap, ChunkInfo, RafsError};

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

/// What a read is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A part of a chunk.
    Part(Part),
    /// Zeros: what is left of a chunk's last block.
    Zeros(Range<usize>),
}

impl Piece {
    /// Where in the read it goes.
    #[must_use]
    pub const fn place(&self) -> &Range<usize> {
        match self {
            Self::Part(part) => &part.into,
            Self::Zeros(into) => into,
        }
    }
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

/// The pieces that `length` bytes of blob `blob` from `offset` on are made of, uncompressed, as the
/// image knows it. Blocks that none of its chunks takes are an error: no file of the image has them.
pub fn pieces<B: AsRef<[u8]>>(
    bootstrap: &Bootstrap<B>,
    blob: u8,
    offset: u64,
    length: usize,
) -> impl Iterator<Item = Result<Piece, RafsError>> + '_ {
    let end = offset.saturating_add(length as u64);
    let small = move |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let chunk = match bootstrap.chunk_at(blob, at) {
            Ok(chunk) => chunk,
            Err(error) => {
                at = u64::MAX;
                return Some(Err(error));
            }
        };
        let begin = at;
        let Some((chunk, blocks_end)) = chunk.and_then(|c| Some((c, c.uncompressed_end()?))) else {
            at = u64::MAX;
            let why = "no chunk of the image lies there";
            return Some(Err(RafsError::Corrupt { what: "blob", at: begin, why }));
        };
        let from = chunk.uncompressed_offset;
        let bytes_end = from.saturating_add(u64::from(chunk.uncompressed_size));
        at = if begin < bytes_end { bytes_end } else { blocks_end }.min(end);
        let into = small(begin)..small(at);
        if begin >= bytes_end {
            return Some(Ok(Piece::Zeros(into)));
        }
        let inside = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX);
        Some(Ok(Piece::Part(Part { chunk, within: inside(begin)..inside(at), into })))
    })
}
