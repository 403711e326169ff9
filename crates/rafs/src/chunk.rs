//! One chunk: what it is, and where it lies.

use zerocopy::byteorder::little_endian::{U32, U64};

use crate::algorithm::ChunkDigest;
use crate::blob::Blob;
use crate::error::{RafsError, Unsupported};
use crate::ondisk::chunk::{ChunkRow, flags};
use crate::ondisk::{BLOCK, blocks_up};

/// Where a chunk's bytes lie in its blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stored {
    /// By themselves.
    Alone {
        /// Where they begin, in bytes.
        offset: u64,
        /// Their length there, in bytes.
        size: u32,
        /// Whether they are compressed, as the blob says.
        compressed: bool,
    },
    /// Together with others: the blob's compression info says where.
    Batched,
}

/// One chunk of an image: a row of its chunk table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkInfo {
    /// The digest of its bytes, uncompressed. Everything else is only where to look.
    pub digest: ChunkDigest,
    /// The number of its blob.
    pub blob: u8,
    /// Its number in the blob.
    pub index: u32,
    /// Where it lies in the blob, uncompressed, in bytes: a multiple of a block.
    pub uncompressed_offset: u64,
    /// Its length, in bytes.
    pub uncompressed_size: u32,
    /// Where it lies in the blob.
    pub stored: Stored,
}

impl ChunkInfo {
    /// The row that begins at `at`, of an image with these blobs and this chunk size.
    pub(crate) fn read(
        row: &ChunkRow,
        at: u64,
        blobs: &[Blob],
        chunk_size: u32,
    ) -> Result<Self, RafsError> {
        let bad = |why| RafsError::corrupt("chunk table", at, why);
        let bits = row.flags.get();
        if bits & flags::ENCRYPTED != 0 {
            return Err(RafsError::Unsupported(Unsupported::Encrypted));
        }
        if bits & flags::HOLE != 0 {
            return Err(RafsError::Unsupported(Unsupported::Holes));
        }
        if bits & !flags::ALL != 0 {
            return Err(bad("a flag is unknown"));
        }
        let number = u8::try_from(row.blob.get()).map_err(|_| bad("there is no such blob"))?;
        let blob = blobs.get(usize::from(number)).ok_or_else(|| bad("there is no such blob"))?;
        let size = row.uncompressed_size.get();
        if row.index.get() >= blob.chunks || size == 0 || size > chunk_size {
            return Err(bad("the chunk's number or length cannot be"));
        }
        let chunk = Self {
            digest: ChunkDigest(row.digest),
            blob: number,
            index: row.index.get(),
            uncompressed_offset: row.uncompressed_offset.get(),
            uncompressed_size: size,
            stored: stored(row, blob).ok_or_else(|| bad("the chunk cannot lie there"))?,
        };
        let inside = chunk.uncompressed_offset.is_multiple_of(BLOCK)
            && chunk.uncompressed_end().is_some_and(|end| end <= blob.uncompressed_size);
        inside.then_some(chunk).ok_or_else(|| bad("the chunk cannot lie there, uncompressed"))
    }

    /// Where the next chunk may begin, uncompressed, in bytes; `None` if beyond a `u64`.
    #[must_use]
    pub fn uncompressed_end(&self) -> Option<u64> {
        blocks_up(self.uncompressed_offset.checked_add(u64::from(self.uncompressed_size))?)
    }

    /// The row to be written.
    pub(crate) fn write(&self, file_offset: u64) -> ChunkRow {
        let (offset, size, bits) = match self.stored {
            Stored::Alone { offset, size, compressed } => {
                (offset, size, if compressed { flags::COMPRESSED } else { 0 })
            }
            Stored::Batched => (0, 0, 0),
        };
        ChunkRow {
            digest: self.digest.0,
            blob: U32::new(u32::from(self.blob)),
            flags: U32::new(bits),
            compressed_size: U32::new(size),
            uncompressed_size: U32::new(self.uncompressed_size),
            compressed_offset: U64::new(offset),
            uncompressed_offset: U64::new(self.uncompressed_offset),
            file_offset: U64::new(file_offset),
            index: U32::new(self.index),
            crc32c: U32::ZERO,
        }
    }
}

/// Where a row says that the chunk's bytes lie; `None` if that cannot be.
fn stored(row: &ChunkRow, blob: &Blob) -> Option<Stored> {
    let (offset, size) = (row.compressed_offset.get(), row.compressed_size.get());
    // `nydus-image` marks a chunk in a batch by the length alone.
    if size == 0 {
        return blob.has_batches().then_some(Stored::Batched);
    }
    let compressed = row.flags.get() & flags::COMPRESSED != 0;
    // Builders store a chunk as it is unless it shrinks; readers of v1 entries depend on it.
    let sizes = if compressed {
        size < row.uncompressed_size.get()
    } else {
        size == row.uncompressed_size.get()
    };
    let inside = offset.checked_add(u64::from(size)).is_some_and(|end| end <= blob.compressed_size);
    (sizes && inside).then_some(Stored::Alone { offset, size, compressed })
}
