//! The chunk table's rows.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the image knows of one chunk. Rows are sorted by digest, then blob.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ChunkRow {
    /// The digest of the chunk's bytes, uncompressed.
    pub digest: [u8; 32],
    /// The blob's number.
    pub blob: U32,
    /// [`flags`].
    pub flags: U32,
    /// The chunk's length in the blob, in bytes; 0 if it lies in a batch.
    pub compressed_size: U32,
    /// Its length, in bytes.
    pub uncompressed_size: U32,
    /// Where it lies in the blob; 0 if it lies in a batch.
    pub compressed_offset: U64,
    /// Where it lies in the blob, uncompressed: a multiple of a block.
    pub uncompressed_offset: U64,
    /// Where it lies in the file that used it first.
    pub file_offset: U64,
    /// Its number in the blob.
    pub index: U32,
    /// The CRC-32C of its bytes, uncompressed, if a flag says so.
    pub crc32c: U32,
}

/// [`ChunkRow::flags`].
pub mod flags {
    /// The chunk is compressed.
    pub const COMPRESSED: u32 = 0x1;
    /// The chunk is a hole, and nowhere.
    pub const HOLE: u32 = 0x2;
    /// The chunk is encrypted.
    pub const ENCRYPTED: u32 = 0x4;
    /// The chunk lies in a batch. `nydus-image` does not set it here.
    pub const BATCH: u32 = 0x8;
    /// [`super::ChunkRow::crc32c`] is there.
    pub const HAS_CRC32C: u32 = 0x10;
    /// All of them.
    pub const ALL: u32 = 0x1f;
}

const _: () = assert!(size_of::<ChunkRow>() == 80);
