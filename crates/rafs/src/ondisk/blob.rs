//! The blob table's entries.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the image knows of a data blob.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlobEntry {
    /// The blob's SHA-256 as 64 hexadecimal characters, or [`PLACEHOLDER`].
    pub id: [u8; 64],
    /// The entry's own number, from 0.
    pub index: U32,
    /// The image's chunk size, in bytes.
    pub chunk_size: U32,
    /// How many chunks the blob has.
    pub chunks: U32,
    /// [`algorithm`]: how chunks are compressed.
    pub compressor: U32,
    /// [`algorithm`]: what digests are.
    pub digester: U32,
    /// [`features`].
    pub features: U32,
    /// The blob's length in bytes. With inline metadata this may be where that begins.
    pub compressed_size: U64,
    /// The length of all chunks in bytes, each rounded up to a block.
    pub uncompressed_size: U64,
    /// The length of the table of contents with its header, in bytes.
    pub toc_size: U32,
    /// [`algorithm`]: how the compression info is compressed.
    pub ci_compressor: U32,
    /// Where in the blob the compression info begins.
    pub ci_offset: U64,
    /// Its length in the blob, in bytes.
    pub ci_compressed_size: U64,
    /// Its length, in bytes.
    pub ci_uncompressed_size: U64,
    /// The SHA-256 of the table of contents with its header, or zeros.
    pub toc_digest: [u8; 32],
    /// The SHA-256 of metadata that lies in another blob; the key of an encrypted blob.
    pub meta_digest: [u8; 32],
    /// The length of metadata that lies in another blob, in bytes.
    pub meta_size: U64,
    /// The second half of an encrypted blob's initial vector.
    pub cipher_iv: U64,
    /// 0: not encrypted.
    pub cipher: U32,
    /// 0.
    pub reserved: [u8; 36],
}

/// The id of a blob in the bootstrap that lies in that same blob: its digest cannot be known.
pub const PLACEHOLDER: [u8; 64] = [b'x'; 64];

/// The numbers of algorithms.
pub mod algorithm {
    /// Not compressed.
    pub const NONE: u32 = 0;
    /// An LZ4 block without its length.
    pub const LZ4: u32 = 1;
    /// gzip.
    pub const GZIP: u32 = 2;
    /// A zstd frame.
    pub const ZSTD: u32 = 3;
    /// Digests are BLAKE3.
    pub const BLAKE3: u32 = 0;
    /// Digests are SHA-256.
    pub const SHA256: u32 = 1;
}

/// The bits of [`BlobEntry::features`]. A reader must know those of the lower half.
pub mod features {
    /// Chunks begin at multiples of a block in uncompressed address space.
    pub const ALIGNED: u32 = 0x1;
    /// The blob contains a bootstrap.
    pub const INLINED_BOOTSTRAP: u32 = 0x2;
    /// The compression info has entries of 24 bytes.
    pub const CI_V2: u32 = 0x4;
    /// The blob is an ordinary gzip layer with an index.
    pub const ZRAN: u32 = 0x8;
    /// The metadata lies in another blob.
    pub const SEPARATE: u32 = 0x10;
    /// The blob has a section of chunk digests.
    pub const INLINED_DIGESTS: u32 = 0x20;
    /// The blob is a plain tar.
    pub const TARFS: u32 = 0x40;
    /// Small chunks are compressed together.
    pub const BATCH: u32 = 0x80;
    /// Chunks are encrypted.
    pub const ENCRYPTED: u32 = 0x100;
    /// The blob was made for a chunk dictionary.
    pub const FROM_DICTIONARY: u32 = 0x200;
    /// The blob has the chunks of files that are read first.
    pub const PREFETCH_FILES: u32 = 0x400;
    /// The blob is a file of another kind of artefact.
    pub const EXTERNAL: u32 = 0x800;
    /// Each section is followed by a tar header.
    pub const TAR_HEADERS: u32 = 0x1000_0000;
    /// The blob has a table of contents.
    pub const TOC: u32 = 0x2000_0000;
    /// The builder knew of the two above, used or not.
    pub const CAN_TAR_TOC: u32 = 0x4000_0000;
    /// Those bits of the lower half that have a meaning.
    pub const KNOWN_LOW: u32 = 0xfff;
    /// The lower half.
    pub const LOW: u32 = 0xffff;
}

const _: () = assert!(size_of::<BlobEntry>() == 256);
