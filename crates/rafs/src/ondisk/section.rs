//! The sections of a data blob. Each is followed, not preceded, by a tar header that names it: a
//! blob is written in one pass, and read from its end.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The names of sections.
pub mod name {
    /// The chunks.
    pub const DATA: &[u8] = b"image.blob";
    /// The compression info and its header.
    pub const META: &[u8] = b"blob.meta";
    /// The header alone: a name in the table of contents, not a section.
    pub const META_HEADER: &[u8] = b"blob.meta.header";
    /// The chunks' digests, 32 bytes each, by number.
    pub const DIGESTS: &[u8] = b"blob.digest";
    /// A bootstrap.
    pub const BOOTSTRAP: &[u8] = b"image.boot";
    /// The table of contents: always the last.
    pub const TOC: &[u8] = b"rafs.blob.toc";
}

/// A header of the GNU dialect of tar, as far as it is used.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TarHeader {
    /// The section's name, padded with zeros.
    pub name: [u8; 100],
    /// Zeros: mode, user and group.
    pub owner: [u8; 24],
    /// The section's length in bytes: octal digits, or base 256 with the top bit set.
    pub size: [u8; 12],
    /// Time: octal zeros.
    pub mtime: [u8; 12],
    /// The sum of all bytes of the header with this field as spaces: six octal digits, NUL, space.
    pub checksum: [u8; 8],
    /// `0`, or NUL: a regular file.
    pub kind: u8,
    /// Zeros.
    pub link: [u8; 100],
    /// [`TAR_MAGIC`].
    pub magic: [u8; 8],
    /// Zeros.
    pub rest: [u8; 247],
}

/// The magic of GNU tar.
pub const TAR_MAGIC: [u8; 8] = *b"ustar  \0";

/// An entry of the table of contents.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TocEntry {
    /// [`toc_flags`], one of them.
    pub flags: U32,
    /// 0.
    pub reserved: U32,
    /// The section's name, padded with zeros.
    pub name: [u8; 16],
    /// The SHA-256 of the section, uncompressed. That of the chunks covers their tar header too.
    pub digest: [u8; 32],
    /// Where the section begins in the blob.
    pub compressed_offset: U64,
    /// Its length in the blob, in bytes.
    pub compressed_size: U64,
    /// Its length, in bytes.
    pub uncompressed_size: U64,
    /// 0.
    pub reserved2: [u8; 48],
}

/// [`TocEntry::flags`].
pub mod toc_flags {
    /// The section is not compressed.
    pub const NONE: u32 = 1;
    /// The section is zstd.
    pub const ZSTD: u32 = 2;
    /// The section is an LZ4 block.
    pub const LZ4: u32 = 4;
}

/// A table of contents has at most so many entries; five are known.
pub const MAX_TOC_ENTRIES: usize = 27;

const _: () = assert!(size_of::<TarHeader>() == 512);
const _: () = assert!(size_of::<TocEntry>() == 128);
