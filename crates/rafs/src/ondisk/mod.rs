//! Every structure of the format as it lies on disk, and every offset, magic and limit.
//!
//! Nothing else in the crate knows a byte's place. All numbers are little-endian, no structure
//! asks for alignment, and `zerocopy` lays them over slices: the sizes asserted here are the
//! format. `docs/image-format.md` has the same tables with the reasons.
//!
//! - [`superblock`]: the EROFS superblock, the extended superblock of RAFS, the device slots;
//! - [`blob`]: the blob table's entries;
//! - [`inode`]: inodes, directory entries, extended attributes, chunk indexes;
//! - [`chunk`]: the chunk table's rows;
//! - [`meta`]: what a data blob says of its own chunks: compression info, batches, its header;
//! - [`section`]: the sections of a data blob and the table of contents.

pub mod blob;
pub mod chunk;
pub mod inode;
pub mod meta;
pub mod section;
pub mod superblock;

/// Bytes of a block: the only block size of images whose chunks are compressed (tarfs has 512).
pub const BLOCK: u64 = 4096;

/// The power of two of [`BLOCK`], as the superblock has it.
pub const BLOCK_BITS: u8 = 12;

/// Bytes of an inode slot: a nid counts these from the start of the metadata area.
pub const SLOT: u64 = 32;

/// A bootstrap is shorter than this, in bytes.
pub const MAX_BOOTSTRAP: u64 = 0x8000_0000;

/// An image has at most so many blobs: their index plus one fits in a byte of the chunk index.
pub const MAX_BLOBS: usize = 254;

/// A blob has at most so many chunks: their index has 24 bits.
pub const MAX_CHUNKS: u32 = 1 << 24;

/// A data blob is at most so long, in bytes.
pub const MAX_COMPRESSED: u64 = 1 << 40;

/// A data blob's chunks are at most so long together, in bytes, each rounded up to a block.
pub const MAX_UNCOMPRESSED: u64 = 1 << 44;

/// The smallest chunk size, in bytes.
pub const MIN_CHUNK_SIZE: u32 = 4 << 10;

/// The largest chunk size, in bytes.
pub const MAX_CHUNK_SIZE: u32 = 16 << 20;

/// `length` rounded up to whole blocks, in bytes; `None` if that is beyond a `u64`.
#[must_use]
pub const fn blocks_up(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(BLOCK)
}
