//! What a data blob says of its own chunks (`blob.meta`): where each lies, compressed and not.
//!
//! ```text
//! in a blob:        entries ‖ batches, compressed together │ header, never compressed
//! in a local file:  entries ‖ batches, zeros up to a block │ header
//! ```

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header's magic, at its begin and at its end.
pub const MAGIC: u32 = 0xB10B_B10B;

/// The block after the compression info.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: U32,
    /// The blob's features, as in the blob table.
    pub features: U32,
    /// How the table is compressed, by the numbers of the blob table.
    pub compressor: U32,
    /// How many entries there are.
    pub entries: U32,
    /// Where in the blob the table begins.
    pub compressed_offset: U64,
    /// Its length in the blob, in bytes.
    pub compressed_size: U64,
    /// Its length, in bytes.
    pub uncompressed_size: U64,
    /// Where in the table, uncompressed, the batches (or zran contexts) begin.
    pub contexts_at: U64,
    /// Their length in bytes.
    pub contexts_size: U64,
    /// How many there are.
    pub contexts: U32,
    /// 0.
    pub reserved: [u8; 4032],
    /// [`MAGIC`].
    pub magic2: U32,
}

/// An entry of 16 bytes. A chunk is compressed if its two sizes differ.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EntryV1 {
    /// Bits 12 to 43: the uncompressed offset, in its place. 44 to 63 and 8 to 11: the
    /// uncompressed size less one, lower 20 and upper 4 bits.
    pub uncompressed: U64,
    /// Bits 0 to 39: the compressed offset. 44 to 63 and 40 to 43: the compressed size less one,
    /// lower 20 and upper 4 bits.
    pub compressed: U64,
}

/// The shifts and masks of [`EntryV1`].
pub mod v1 {
    /// The uncompressed offset.
    pub const OFFSET_MASK: u64 = 0x0fff_ffff_f000;
    /// The compressed offset.
    pub const COMPRESSED_OFFSET_MASK: u64 = 0xff_ffff_ffff;
    /// The lower bits of a size less one, before they are shifted.
    pub const SIZE_LOW_MASK: u64 = 0xf_ffff;
    /// Where they lie.
    pub const SIZE_LOW_SHIFT: u32 = 44;
    /// How many there are.
    pub const SIZE_LOW_BITS: u32 = 20;
    /// The upper bits of a size less one, before they are shifted.
    pub const SIZE_HIGH_MASK: u64 = 0xf;
    /// Where those of the uncompressed size lie.
    pub const SIZE_HIGH_SHIFT: u32 = 8;
    /// Where those of the compressed size lie.
    pub const COMPRESSED_SIZE_HIGH_SHIFT: u32 = 40;
}

/// An entry of 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EntryV2 {
    /// Bits 0 to 31: the uncompressed offset in blocks. 32 to 55: the uncompressed size less one.
    /// 56 to 63: [`v2`]'s flags.
    pub uncompressed: U64,
    /// Bits 0 to 39: the compressed offset. 40 to 63: the compressed size (0 in a batch).
    pub compressed: U64,
    /// In a batch: its number, shifted by 32, and the chunk's place in it. Else the CRC-32C.
    pub data: U64,
}

/// The shifts, masks and flags of [`EntryV2`].
pub mod v2 {
    /// The uncompressed offset, in blocks.
    pub const OFFSET_MASK: u64 = 0xffff_ffff;
    /// The uncompressed size less one.
    pub const SIZE_SHIFT: u32 = 32;
    /// A size.
    pub const SIZE_MASK: u64 = 0xff_ffff;
    /// The compressed offset.
    pub const COMPRESSED_OFFSET_MASK: u64 = 0xff_ffff_ffff;
    /// The compressed size.
    pub const COMPRESSED_SIZE_SHIFT: u32 = 40;
    /// The flags.
    pub const FLAGS_SHIFT: u32 = 56;
    /// The chunk is compressed, alone or with its batch.
    pub const COMPRESSED: u64 = 1;
    /// The chunk lies in a gzip stream.
    pub const ZRAN: u64 = 2;
    /// The chunk lies in a batch.
    pub const BATCH: u64 = 4;
    /// The chunk is encrypted.
    pub const ENCRYPTED: u64 = 8;
    /// The entry has the CRC-32C of the chunk.
    pub const HAS_CRC32C: u64 = 0x10;
    /// All of them.
    pub const ALL: u64 = 0x1f;
    /// A batch's number.
    pub const BATCH_SHIFT: u32 = 32;
    /// A chunk's place in its batch.
    pub const IN_BATCH_MASK: u64 = 0xffff_ffff;
}

/// A batch: small chunks that were put behind one another and compressed together. If the two
/// sizes are equal, it is not compressed.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Batch {
    /// Its length in the blob, in bytes.
    pub compressed_size: U32,
    /// Its length, in bytes.
    pub uncompressed_size: U32,
    /// 0.
    pub reserved: [u8; 32],
}

const _: () = assert!(size_of::<Header>() == 4096);
const _: () = assert!(size_of::<EntryV1>() == 16);
const _: () = assert!(size_of::<EntryV2>() == 24);
const _: () = assert!(size_of::<Batch>() == 40);
