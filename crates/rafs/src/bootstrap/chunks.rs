//! Which chunks a file has: its chunk indexes, joined with the chunk table.

use zerocopy::FromBytes;

use crate::chunk::ChunkInfo;
use crate::error::RafsError;
use crate::ondisk::BLOCK;
use crate::ondisk::chunk::ChunkRow;
use crate::ondisk::inode::{CHUNK_INDEX_ALIGNMENT, ChunkIndex, chunk_format};
use crate::slice::read_all;

use super::head::Head;
use super::inode::{FileType, Inode, Layout};

/// A chunk in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileChunk {
    /// Where in the file it begins, in bytes.
    pub file_offset: u64,
    /// The chunk's row in the chunk table.
    pub row: u32,
    /// The chunk.
    pub info: ChunkInfo,
}

/// The chunk table's rows by blob and number: 4 bytes a chunk.
///
/// The table itself is sorted by digest, which is what a builder asks for; a reader comes with a
/// blob's number and the chunk's number in it. What is compared is read from the table, which is
/// usually mapped: a search reads a handful of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// The rows' numbers, sorted by [`key`].
    order: Vec<u32>,
}

const fn key(blob: u8, index: u32) -> u32 {
    (blob as u32) << 24 | index
}

impl Rows {
    /// Checks every row.
    pub(crate) fn read(bytes: &[u8], head: &Head) -> Result<Self, RafsError> {
        let rows = Self::table(bytes, head)?;
        let at = head.chunk_table.0;
        // Eight bits of blob, 24 of number, 32 of row.
        let mut keys = Vec::with_capacity(rows.len());
        for (number, row) in (0_u32..).zip(rows) {
            let row_at = at.saturating_add(u64::from(number) * size_of::<ChunkRow>() as u64);
            let chunk = ChunkInfo::read(row, row_at, &head.blobs, head.chunk_size.bytes())?;
            keys.push(u64::from(key(chunk.blob, chunk.index)) << 32 | u64::from(number));
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [a, b] if a >> 32 == b >> 32)) {
            return Err(RafsError::corrupt("chunk table", at, "a chunk is there twice"));
        }
        let number = |key: u64| u32::try_from(key & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Ok(Self { order: keys.into_iter().map(number).collect() })
    }

    fn table<'a>(bytes: &'a [u8], head: &Head) -> Result<&'a [ChunkRow], RafsError> {
        let (at, size) = head.chunk_table;
        read_all(bytes, at, size, "chunk table")
    }

    pub(crate) const fn len(&self) -> usize {
        self.order.len()
    }

    /// How many come before the first of which `is` says no, which it does of all that follow.
    fn before(
        &self,
        bytes: &[u8],
        head: &Head,
        is: impl Fn(u32) -> bool,
    ) -> Result<usize, RafsError> {
        let table = Self::table(bytes, head)?;
        // Reading the table has found every row to fit into a key.
        let key = |row: &ChunkRow| row.blob.get() << 24 | row.index.get();
        Ok(self.order.partition_point(|row| table.get(*row as usize).is_some_and(|r| is(key(r)))))
    }

    /// The row of a blob's chunk.
    pub(super) fn find(
        &self,
        bytes: &[u8],
        head: &Head,
        blob: u8,
        index: u32,
    ) -> Result<Option<u32>, RafsError> {
        let wanted = key(blob, index);
        let at = self.before(bytes, head, |key| key < wanted)?;
        let Some(found) = self.order.get(at) else { return Ok(None) };
        let chunk = row(bytes, head, *found)?;
        Ok((key(chunk.blob, chunk.index) == wanted).then_some(*found))
    }
}

/// Row `number` of the chunk table.
pub(crate) fn row(bytes: &[u8], head: &Head, number: u32) -> Result<ChunkInfo, RafsError> {
    let at = u64::from(number) * size_of::<ChunkRow>() as u64 + head.chunk_table.0;
    let row: &ChunkRow = crate::slice::read(bytes, at, "chunk table")?;
    ChunkInfo::read(row, at, &head.blobs, head.chunk_size.bytes())
}

/// The chunks of one file.
#[derive(Clone, Copy, Debug)]
pub struct FileChunks<'a> {
    bytes: &'a [u8],
    head: &'a Head,
    rows: &'a Rows,
    inode: Inode,
    indexes: &'a [ChunkIndex],
}

impl<'a> FileChunks<'a> {
    pub(crate) fn read(
        bytes: &'a [u8],
        head: &'a Head,
        rows: &'a Rows,
        inode: &Inode,
    ) -> Result<Self, RafsError> {
        let at = inode.tail_at().next_multiple_of(CHUNK_INDEX_ALIGNMENT);
        let bad = |why| RafsError::corrupt("chunk indexes", at, why);
        if inode.file_type != FileType::Regular {
            return Err(bad("only a regular file has chunks"));
        }
        let none = Self { bytes, head, rows, inode: *inode, indexes: &[] };
        if inode.size == 0 {
            return Ok(none);
        }
        if inode.layout != Layout::Chunks {
            return Err(bad("a file's bytes lie in the metadata, where no digest covers them"));
        }
        let bits = inode.union & chunk_format::BITS;
        let known = inode.union & !chunk_format::KNOWN == 0;
        // A file that lies in one piece may name a larger chunk size, so that the kernel asks
        // once; the indexes are those of the image's chunk size all the same.
        let cut = bits >= head.chunk_size.bits_over_block();
        if !known || inode.union & chunk_format::INDEXES == 0 || !cut {
            return Err(bad("the file is cut in an unknown way"));
        }
        let count = head.chunk_size.chunks_of(inode.size);
        let length = count.checked_mul(size_of::<ChunkIndex>() as u64);
        let length = length.ok_or_else(|| bad("the file is too long"))?;
        Ok(Self { indexes: read_all(bytes, at, length, "chunk indexes")?, ..none })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Whether there are none: the file is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// Chunk `number` of the file, in constant time but for the search in the chunk table.
    ///
    /// # Errors
    /// If there is no such chunk, or file and chunk table do not agree on it.
    pub fn get(&self, number: usize) -> Result<FileChunk, RafsError> {
        let at = self.inode.tail_at();
        let bad = |why| RafsError::corrupt("chunk indexes", at, why);
        let index = self.indexes.get(number).ok_or_else(|| bad("there is no such chunk"))?;
        let blob = index.device.checked_sub(1).ok_or_else(|| bad("a chunk has no blob"))?;
        let chunk_number = u32::from(index.index_low.get()) | u32::from(index.index_high) << 16;
        let row = self.rows.find(self.bytes, self.head, blob, chunk_number)?;
        let row = row.ok_or_else(|| bad("a chunk is not in the chunk table"))?;
        let info = self::row(self.bytes, self.head, row)?;
        if info.uncompressed_offset != u64::from(index.block.get()) * BLOCK {
            return Err(bad("a chunk lies elsewhere than the chunk table says"));
        }
        let size = self.head.chunk_size;
        if size.length_of(number as u64, self.inode.size) != Some(info.uncompressed_size) {
            return Err(bad("a chunk is not as long as its place in the file"));
        }
        Ok(FileChunk { file_offset: number as u64 * u64::from(size.bytes()), row, info })
    }

    /// The number of the chunk in which byte `offset` of the file lies; it need not exist.
    #[must_use]
    pub fn number_at(&self, offset: u64) -> usize {
        let number = offset / u64::from(self.head.chunk_size.bytes());
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = Result<FileChunk, RafsError>> + use<'a> {
        let this = *self;
        (0..self.indexes.len()).map(move |number| this.get(number))
    }

    /// The power of two of the chunk size that the kernel is told.
    pub(crate) const fn told_bits(&self) -> u32 {
        self.inode.union & chunk_format::BITS
    }
}

/// The last chunk of `blob` that begins at `offset` or before, if its blocks reach beyond it.
pub(crate) fn at(
    bytes: &[u8],
    head: &Head,
    rows: &Rows,
    blob: u8,
    offset: u64,
) -> Result<Option<ChunkInfo>, RafsError> {
    let read = |at: usize| row(bytes, head, rows.order.get(at).copied().unwrap_or(u32::MAX));
    let mut low = rows.before(bytes, head, |at| at < key(blob, 0))?;
    let mut high = rows.before(bytes, head, |at| at >> 24 <= u32::from(blob))?;
    // All before `low` begin at `offset` or before, none from `high` on does.
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let chunk = read(middle)?;
        if chunk.uncompressed_offset <= offset {
            (low, found) = (middle + 1, Some(chunk));
        } else {
            high = middle;
        }
    }
    Ok(found.filter(|chunk| chunk.uncompressed_end().is_some_and(|end| offset < end)))
}

/// That the chunks of a blob lie behind one another, in the order of their numbers.
pub(crate) fn in_order(bytes: &[u8], head: &Head, rows: &Rows) -> Result<(), RafsError> {
    let mut before: Option<ChunkInfo> = None;
    for number in &rows.order {
        let chunk = row(bytes, head, *number)?;
        if before.is_some_and(|last| last.blob == chunk.blob && !follows(&last, &chunk)) {
            let at = head.chunk_table.0;
            return Err(RafsError::corrupt("chunk table", at, "chunks of a blob overlap"));
        }
        before = Some(chunk);
    }
    Ok(())
}

fn follows(last: &ChunkInfo, next: &ChunkInfo) -> bool {
    use crate::chunk::Stored::{Alone, Batched};
    let plain = last.uncompressed_end().is_some_and(|end| end <= next.uncompressed_offset);
    let stored = match (last.stored, next.stored) {
        (Alone { offset: a, size, .. }, Alone { offset: b, .. }) => {
            a.checked_add(u64::from(size)).is_some_and(|end| end <= b)
        }
        (Batched, _) | (_, Batched) => true,
    };
    plain && stored
}

/// The rows of a table in which digests should rise.
pub(crate) fn sorted(bytes: &[u8], head: &Head) -> Result<(), RafsError> {
    let (at, size) = head.chunk_table;
    let table = crate::slice::part(bytes, at, size, "chunk table")?;
    let rows = <[ChunkRow]>::ref_from_bytes(table).unwrap_or(&[]);
    let rises = rows.is_sorted_by_key(|row| (row.digest, row.blob.get()));
    if !rises {
        return Err(RafsError::corrupt("chunk table", at, "it is not sorted"));
    }
    Ok(())
}
