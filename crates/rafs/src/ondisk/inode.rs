//! Inodes and what follows them: attributes, directory entries, chunk indexes. This is EROFS.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An inode of 32 bytes. It has no time; its reader takes the build time.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct CompactInode {
    /// [`format`].
    pub format: U16,
    /// The length of the attributes: 0, or one plus the words after their header.
    pub xattr_count: U16,
    /// File type and permissions, as `st_mode`.
    pub mode: U16,
    /// How many names there are.
    pub nlink: U16,
    /// Length in bytes.
    pub size: U32,
    /// 0.
    pub reserved: U32,
    /// See [`ExtendedInode::union`].
    pub union: U32,
    /// A number, in order.
    pub ino: U32,
    /// Owner.
    pub uid: U16,
    /// Group.
    pub gid: U16,
    /// 0.
    pub reserved2: U32,
}

/// An inode of 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExtendedInode {
    /// [`format`].
    pub format: U16,
    /// The length of the attributes: 0, or one plus the words after their header.
    pub xattr_count: U16,
    /// File type and permissions, as `st_mode`.
    pub mode: U16,
    /// 0.
    pub reserved: U16,
    /// Length in bytes.
    pub size: U64,
    /// By file type and layout: the block where the data begins, the device's number, or how the
    /// file is cut ([`chunk_format`]).
    pub union: U32,
    /// A number, in order, from 1.
    pub ino: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Time of last change, in seconds since 1970; negative before.
    pub mtime: U64,
    /// Its nanoseconds.
    pub mtime_nsec: U32,
    /// How many names there are.
    pub nlink: U32,
    /// 0.
    pub reserved2: [u8; 16],
}

/// The first two bytes of an inode.
pub mod format {
    /// The inode has 64 bytes.
    pub const EXTENDED: u16 = 1;
    /// How far the layout is shifted.
    pub const LAYOUT_SHIFT: u32 = 1;
    /// The bits of the layout, after the shift.
    pub const LAYOUT_MASK: u16 = 7;
    /// The data lies in blocks of its own.
    pub const FLAT_PLAIN: u16 = 0;
    /// The same, but its last block, which follows inode and attributes.
    pub const FLAT_INLINE: u16 = 2;
    /// The data lies in chunks on other devices.
    pub const CHUNK_BASED: u16 = 4;
    /// The bits that have a meaning.
    pub const KNOWN: u16 = EXTENDED | LAYOUT_MASK << LAYOUT_SHIFT;
}

/// [`ExtendedInode::union`] of a file in chunks.
pub mod chunk_format {
    /// The power of two of the chunk size, less that of the block.
    pub const BITS: u32 = 0x1f;
    /// There are [`super::ChunkIndex`]es and not only addresses.
    pub const INDEXES: u32 = 0x20;
    /// The bits that have a meaning.
    pub const KNOWN: u32 = BITS | INDEXES;
}

/// Chunk indexes begin at the next multiple of so many bytes after the attributes.
pub const CHUNK_INDEX_ALIGNMENT: u64 = 8;

/// Where one chunk of a file lies.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ChunkIndex {
    /// The chunk's number in its blob, lower 16 bits. The kernel ignores them.
    pub index_low: U16,
    /// The blob's number plus one; 0 would be the bootstrap itself.
    pub device: u8,
    /// The chunk's number in its blob, upper 8 bits. The kernel masks them off.
    pub index_high: u8,
    /// The chunk's place in the blob, uncompressed, in blocks.
    pub block: U32,
}

/// One name in a directory. Names follow after all entries of a block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Dirent {
    /// The inode that it names.
    pub nid: U64,
    /// Where in the block its name begins. In a block's first entry this says how many there are.
    pub name_at: U16,
    /// [`file_type`].
    pub file_type: u8,
    /// 0.
    pub reserved: u8,
}

/// [`Dirent::file_type`].
pub mod file_type {
    /// A regular file.
    pub const REGULAR: u8 = 1;
    /// A directory.
    pub const DIRECTORY: u8 = 2;
    /// A character device.
    pub const CHARACTER: u8 = 3;
    /// A block device.
    pub const BLOCK: u8 = 4;
    /// A named pipe.
    pub const FIFO: u8 = 5;
    /// A socket.
    pub const SOCKET: u8 = 6;
    /// A symbolic link.
    pub const SYMLINK: u8 = 7;
}

/// The type's bits of `st_mode`, and the types.
pub mod mode {
    /// The bits of the type.
    pub const TYPE: u16 = 0o170_000;
    /// The bits of permissions, setuid, setgid and sticky.
    pub const PERMISSIONS: u16 = 0o7777;
    /// A regular file.
    pub const REGULAR: u16 = 0o100_000;
    /// A directory.
    pub const DIRECTORY: u16 = 0o040_000;
    /// A character device.
    pub const CHARACTER: u16 = 0o020_000;
    /// A block device.
    pub const BLOCK: u16 = 0o060_000;
    /// A named pipe.
    pub const FIFO: u16 = 0o010_000;
    /// A socket.
    pub const SOCKET: u16 = 0o140_000;
    /// A symbolic link.
    pub const SYMLINK: u16 = 0o120_000;
}

/// A name is at most so many bytes long.
pub const MAX_NAME: usize = 255;

/// A link's target is at most so many bytes long (`PATH_MAX` less its NUL).
pub const MAX_TARGET: u64 = 4095;

/// What stands before an inode's attributes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct XattrHeader {
    /// A filter of names that later kernels may write; 0 here.
    pub filter: U32,
    /// How many shared attributes follow: 0.
    pub shared: u8,
    /// 0.
    pub reserved: [u8; 7],
}

/// One attribute: this, the name without its prefix, the value, zeros up to a multiple of four.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct XattrEntry {
    /// The length of the name without its prefix.
    pub name_size: u8,
    /// Which of [`XATTR_PREFIXES`] stands before it.
    pub prefix: u8,
    /// The length of the value.
    pub value_size: U16,
}

/// The unit in which attributes are counted and aligned, in bytes.
pub const XATTR_WORD: u64 = 4;

/// The prefixes by their number. The two for POSIX ACLs are whole names. Number 5 (`lustre`) and
/// others are in no image.
pub const XATTR_PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

const _: () = assert!(size_of::<CompactInode>() == 32);
const _: () = assert!(size_of::<ExtendedInode>() == 64);
const _: () = assert!(size_of::<ChunkIndex>() == 8);
const _: () = assert!(size_of::<Dirent>() == 12);
const _: () = assert!(size_of::<XattrHeader>() == 12);
const _: () = assert!(size_of::<XattrEntry>() == 4);
