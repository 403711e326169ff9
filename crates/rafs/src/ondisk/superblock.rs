//! The superblocks and the device slots: what stands in the first block.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the EROFS superblock begins.
pub const SUPERBLOCK_AT: u64 = 1024;

/// Where the extended superblock begins.
pub const EXTENDED_AT: u64 = SUPERBLOCK_AT + size_of::<Superblock>() as u64;

/// Where the device slots begin.
pub const DEVICES_AT: u64 = EXTENDED_AT + size_of::<Extended>() as u64;

/// The magic of EROFS.
pub const MAGIC: u32 = 0xE0F5_E1E2;

/// The magic of RAFS v5, which stands at byte 0.
pub const MAGIC_V5: u32 = 0x5241_4653;

/// A compatible feature that says: this EROFS is a RAFS v6.
pub const COMPAT_RAFS_V6: u32 = 0x4000_0000;

/// The incompatible features that an image has, these and no others: files in chunks, and a
/// table of devices.
pub const INCOMPAT: u32 = 0x4 | 0x8;

/// The EROFS superblock.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Superblock {
    /// [`MAGIC`].
    pub magic: U32,
    /// A CRC that RAFS leaves out: 0.
    pub checksum: U32,
    /// [`COMPAT_RAFS_V6`], perhaps with others.
    pub feature_compat: U32,
    /// [`super::BLOCK_BITS`].
    pub block_bits: u8,
    /// 0.
    pub extension_slots: u8,
    /// The root's nid.
    pub root_nid: U16,
    /// How many inodes there are. `nydus-image` counts a hard-linked file once per name.
    pub inodes: U64,
    /// When the image was built, in seconds: 0, so that the same input gives the same bytes.
    pub build_time: U64,
    /// Its nanoseconds: 0.
    pub build_time_nsec: U32,
    /// Blocks of all blobs, uncompressed; for statfs only.
    pub blocks: U32,
    /// The block at which the metadata area begins.
    pub meta_block: U32,
    /// Where shared attributes begin: 0, there are none.
    pub xattr_block: U32,
    /// 0.
    pub uuid: [u8; 16],
    /// 0.
    pub volume_name: [u8; 16],
    /// [`INCOMPAT`].
    pub feature_incompat: U32,
    /// What compression EROFS itself does: 0, none.
    pub compression: U16,
    /// How many devices there are besides this one: as many as blobs.
    pub devices: U16,
    /// The first device slot's place, in slots of 128 bytes.
    pub device_slot: U16,
    /// 0.
    pub reserved: [u8; 38],
}

/// What RAFS adds to the superblock.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Extended {
    /// [`flags`].
    pub flags: U64,
    /// Where the blob table begins: a multiple of [`super::BLOCK`].
    pub blob_table_at: U64,
    /// Its length in bytes.
    pub blob_table_size: U32,
    /// The size of all chunks of a file but its last, in bytes.
    pub chunk_size: U32,
    /// Where the chunk table begins: a multiple of [`super::BLOCK`].
    pub chunk_table_at: U64,
    /// Its length in bytes.
    pub chunk_table_size: U64,
    /// Where the prefetch table begins.
    pub prefetch_at: U64,
    /// Its length in bytes: four for each nid.
    pub prefetch_size: U32,
    /// 0.
    pub padding: U32,
    /// 0.
    pub reserved: [u8; 200],
}

/// One more device of the file system: a blob in uncompressed address space.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DeviceSlot {
    /// The blob's id.
    pub tag: [u8; 64],
    /// Its length in blocks, uncompressed.
    pub blocks: U32,
    /// Where it lies if all devices are put behind one another, in blocks.
    pub mapped_block: U32,
    /// 0.
    pub reserved: [u8; 56],
}

/// Blobs begin at multiples of so many bytes in the address space of all devices.
pub const DEVICE_ALIGNMENT: u64 = 0x8_0000;

/// The bits of [`Extended::flags`].
pub mod flags {
    /// Chunks are not compressed.
    pub const COMPRESS_NONE: u64 = 0x1;
    /// Chunks are LZ4 blocks.
    pub const COMPRESS_LZ4: u64 = 0x2;
    /// Digests are BLAKE3.
    pub const DIGEST_BLAKE3: u64 = 0x4;
    /// Digests are SHA-256.
    pub const DIGEST_SHA256: u64 = 0x8;
    /// Owners are the ones of the source.
    pub const EXPLICIT_OWNERS: u64 = 0x10;
    /// Some inode has extended attributes.
    pub const HAS_XATTR: u64 = 0x20;
    /// Chunks are gzip: only in images that refer to ordinary layers.
    pub const COMPRESS_GZIP: u64 = 0x40;
    /// Chunks are zstd frames.
    pub const COMPRESS_ZSTD: u64 = 0x80;
    /// The blobs have a section of chunk digests.
    pub const INLINED_DIGESTS: u64 = 0x100;
    /// The blobs are plain tars.
    pub const TARFS: u64 = 0x200;
    /// Chunks are not encrypted.
    pub const ENCRYPT_NONE: u64 = 0x0100_0000;
    /// Chunks are encrypted.
    pub const ENCRYPT_AES_128_XTS: u64 = 0x0200_0000;
    /// All of them.
    pub const ALL: u64 = 0x3ff | ENCRYPT_NONE | ENCRYPT_AES_128_XTS;
}

const _: () = assert!(size_of::<Superblock>() == 128);
const _: () = assert!(size_of::<Extended>() == 256);
const _: () = assert!(size_of::<DeviceSlot>() == 128);
