//! How an image compresses, hashes and cuts.

use std::fmt;

use content::Digest;

use crate::error::{RafsError, Unsupported};
use crate::ondisk::blob::algorithm;
use crate::ondisk::superblock::flags;
use crate::ondisk::{BLOCK_BITS, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE};

/// How chunks are compressed. A chunk that does not shrink is stored as it is, whatever this says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compressor {
    /// Not at all.
    None,
    /// LZ4 blocks, without their length.
    Lz4,
    /// zstd frames.
    Zstd,
}

impl Compressor {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::None => algorithm::NONE,
            Self::Lz4 => algorithm::LZ4,
            Self::Zstd => algorithm::ZSTD,
        }
    }

    pub(crate) const fn of_number(number: u32, at: u64) -> Result<Self, RafsError> {
        match number {
            algorithm::NONE => Ok(Self::None),
            algorithm::LZ4 => Ok(Self::Lz4),
            algorithm::ZSTD => Ok(Self::Zstd),
            algorithm::GZIP => Err(RafsError::Unsupported(Unsupported::Gzip)),
            _ => Err(RafsError::corrupt("compression", at, "its number is unknown")),
        }
    }

    pub(crate) const fn flag(self) -> u64 {
        match self {
            Self::None => flags::COMPRESS_NONE,
            Self::Lz4 => flags::COMPRESS_LZ4,
            Self::Zstd => flags::COMPRESS_ZSTD,
        }
    }

    /// The one that a superblock's flags name.
    pub(crate) const fn of_flags(bits: u64, at: u64) -> Result<Self, RafsError> {
        const ANY: u64 = flags::COMPRESS_NONE
            | flags::COMPRESS_LZ4
            | flags::COMPRESS_GZIP
            | flags::COMPRESS_ZSTD;
        match bits & ANY {
            flags::COMPRESS_NONE => Ok(Self::None),
            flags::COMPRESS_LZ4 => Ok(Self::Lz4),
            flags::COMPRESS_ZSTD => Ok(Self::Zstd),
            flags::COMPRESS_GZIP => Err(RafsError::Unsupported(Unsupported::Gzip)),
            _ => Err(RafsError::corrupt("superblock flags", at, "not one compression is named")),
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lz4 => "lz4_block",
            Self::Zstd => "zstd",
        })
    }
}

/// The digest of a chunk's bytes. Which digest it is, the image's [`Digester`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkDigest(pub [u8; 32]);

impl fmt::Display for ChunkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChunkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the chunks' digests are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Digester {
    /// BLAKE3, the default of `nydus-image`.
    Blake3,
    /// SHA-256, ours.
    Sha256,
}

impl Digester {
    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> ChunkDigest {
        ChunkDigest(match self {
            Self::Blake3 => *blake3::hash(bytes).as_bytes(),
            Self::Sha256 => *Digest::of(bytes).as_bytes(),
        })
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Blake3 => algorithm::BLAKE3,
            Self::Sha256 => algorithm::SHA256,
        }
    }

    pub(crate) const fn flag(self) -> u64 {
        match self {
            Self::Blake3 => flags::DIGEST_BLAKE3,
            Self::Sha256 => flags::DIGEST_SHA256,
        }
    }

    /// The one that a superblock's flags name.
    pub(crate) const fn of_flags(bits: u64, at: u64) -> Result<Self, RafsError> {
        match bits & (flags::DIGEST_BLAKE3 | flags::DIGEST_SHA256) {
            flags::DIGEST_BLAKE3 => Ok(Self::Blake3),
            flags::DIGEST_SHA256 => Ok(Self::Sha256),
            _ => Err(RafsError::corrupt("superblock flags", at, "not one digest is named")),
        }
    }
}

impl fmt::Display for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        })
    }
}

/// The size of all chunks of a file but its last: a power of two from 4 KiB to 16 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// 1 MiB, the default of `nydus-image` and ours.
    pub const DEFAULT: Self = Self(1 << 20);

    /// The chunk size of `bytes`, if it is one.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= MIN_CHUNK_SIZE && bytes <= MAX_CHUNK_SIZE {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// The power of two, less that of a block, as inodes have it.
    pub(crate) const fn bits_over_block(self) -> u32 {
        self.0.trailing_zeros() - BLOCK_BITS as u32
    }

    /// Into how many chunks a file of `size` bytes is cut.
    #[must_use]
    pub const fn chunks_of(self, size: u64) -> u64 {
        size.div_ceil(self.0 as u64)
    }

    /// How long chunk `index` of a file of `size` bytes is; `None` if there is no such chunk.
    #[must_use]
    pub fn length_of(self, index: u64, size: u64) -> Option<u32> {
        let begin = index.checked_mul(u64::from(self.0))?;
        let rest = size.checked_sub(begin).filter(|rest| *rest > 0)?;
        u32::try_from(rest.min(u64::from(self.0))).ok()
    }
}

impl Default for ChunkSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}
