//! What an image knows of its data blobs.

use std::fmt;

use content::Digest;
use zerocopy::byteorder::little_endian::{U32, U64};

use crate::algorithm::{ChunkSize, Compressor, Digester};
use crate::error::{RafsError, Unsupported};
use crate::ondisk::blob::{BlobEntry, PLACEHOLDER, features};
use crate::ondisk::meta::{Batch, Header};
use crate::ondisk::{BLOCK, MAX_CHUNKS, MAX_COMPRESSED, MAX_UNCOMPRESSED};

/// Which blob is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobId {
    /// The blob of this digest.
    Digest(Digest),
    /// The blob in which the bootstrap lies that says so.
    Inline,
}

impl BlobId {
    pub(crate) fn parse(id: &[u8; 64]) -> Result<Self, RafsError> {
        if *id == PLACEHOLDER {
            return Ok(Self::Inline);
        }
        let text = std::str::from_utf8(id).ok().map(|hex| format!("sha256:{hex}"));
        text.and_then(|text| text.parse().ok())
            .map(Self::Digest)
            .ok_or(RafsError::Unsupported(Unsupported::BlobId))
    }

    pub(crate) fn to_bytes(self) -> [u8; 64] {
        let mut id = PLACEHOLDER;
        if let Self::Digest(digest) = self {
            id.copy_from_slice(digest.to_hex().as_bytes());
        }
        id
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Inline => f.write_str("this blob"),
        }
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bits that say what a blob has: those of [`crate::ondisk::blob::features`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(u32);

impl Features {
    /// These bits, if a reader of this crate can do with them.
    pub(crate) const fn read(bits: u32, at: u64) -> Result<Self, RafsError> {
        const REFUSED: [(u32, Unsupported); 5] = [
            (features::ZRAN, Unsupported::Zran),
            (features::TARFS, Unsupported::Tarfs),
            (features::ENCRYPTED, Unsupported::Encrypted),
            (features::EXTERNAL, Unsupported::External),
            (features::SEPARATE, Unsupported::Separate),
        ];
        let mut i = 0;
        while i < REFUSED.len() {
            if bits & REFUSED[i].0 != 0 {
                return Err(RafsError::Unsupported(REFUSED[i].1));
            }
            i += 1;
        }
        if bits & features::LOW & !features::KNOWN_LOW != 0 {
            return Err(RafsError::Unsupported(Unsupported::Feature));
        }
        if bits & features::ALIGNED == 0 {
            return Err(RafsError::corrupt("blob features", at, "chunks are not aligned"));
        }
        if bits & features::BATCH != 0 && bits & features::CI_V2 == 0 {
            return Err(RafsError::corrupt("blob features", at, "batches need 24-byte entries"));
        }
        Ok(Self(bits))
    }

    /// These bits, to be written.
    pub(crate) const fn write(bits: u32) -> Self {
        Self(bits | features::ALIGNED | features::CAN_TAR_TOC)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Where a blob's compression info lies in it, without the header that follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CiPlace {
    /// How it is compressed.
    pub compressor: Compressor,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length there, in bytes.
    pub compressed_size: u64,
    /// Its length, in bytes.
    pub uncompressed_size: u64,
}

/// The table of contents of a blob, as the bootstrap knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TocPlace {
    /// Its length with its tar header, in bytes: the blob's last ones. 0 if there is none or it
    /// was not known yet.
    pub size: u32,
    /// Its SHA-256, or zeros.
    pub digest: [u8; 32],
}

/// What the image knows of one data blob: an entry of its blob table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob {
    /// Its name.
    pub id: BlobId,
    /// What it has.
    pub features: Features,
    /// How its chunks are compressed.
    pub compressor: Compressor,
    /// How many chunks it has. The image may use fewer.
    pub chunks: u32,
    /// Its length in bytes, or where its metadata begins, if that lies in it: `nydus-image merge`
    /// knows no better. Chunks lie below it.
    pub compressed_size: u64,
    /// The length of its chunks, each rounded up to a block, in bytes.
    pub uncompressed_size: u64,
    /// Its compression info.
    pub ci: CiPlace,
    /// Its table of contents.
    pub toc: TocPlace,
}

impl Blob {
    /// The entry that begins at `at`, with the number `index`, of an image of this cut and digest.
    pub(crate) fn read(
        entry: &BlobEntry,
        at: u64,
        index: u32,
        chunk_size: ChunkSize,
        digester: Digester,
    ) -> Result<Self, RafsError> {
        let bad = |why| RafsError::corrupt("blob table", at, why);
        let features = Features::read(entry.features.get(), at)?;
        if entry.cipher.get() != 0 {
            return Err(RafsError::Unsupported(Unsupported::Encrypted));
        }
        if entry.index.get() != index {
            return Err(bad("an entry has the number of another"));
        }
        if entry.chunk_size.get() != chunk_size.bytes() || entry.digester.get() != digester.number()
        {
            return Err(bad("a blob has another chunk size or digest than the image"));
        }
        let uncompressed_size = entry.uncompressed_size.get();
        let sizes = entry.chunks.get() <= MAX_CHUNKS
            && entry.compressed_size.get() <= MAX_COMPRESSED
            && uncompressed_size <= MAX_UNCOMPRESSED
            && uncompressed_size.is_multiple_of(BLOCK);
        if !sizes {
            return Err(bad("a blob has more chunks or bytes than can be"));
        }
        let blob = Self {
            id: BlobId::parse(&entry.id)?,
            features,
            compressor: Compressor::of_number(entry.compressor.get(), at)?,
            chunks: entry.chunks.get(),
            compressed_size: entry.compressed_size.get(),
            uncompressed_size,
            ci: CiPlace {
                compressor: Compressor::of_number(entry.ci_compressor.get(), at)?,
                offset: entry.ci_offset.get(),
                compressed_size: entry.ci_compressed_size.get(),
                uncompressed_size: entry.ci_uncompressed_size.get(),
            },
            toc: TocPlace { size: entry.toc_size.get(), digest: entry.toc_digest },
        };
        blob.ci_fits().then_some(blob).ok_or_else(|| bad("its compression info cannot be so long"))
    }

    fn ci_fits(&self) -> bool {
        let entries = self.ci_entry_size() * u64::from(self.chunks);
        let ci = &self.ci;
        let length = if self.has_batches() {
            // No batch is empty. They may begin at a block.
            let batches = size_of::<Batch>() as u64 * u64::from(self.chunks);
            let most = entries.next_multiple_of(BLOCK).saturating_add(batches);
            (entries..=most).contains(&ci.uncompressed_size)
        } else {
            ci.uncompressed_size == entries
        };
        let inside = ci
            .offset
            .checked_add(ci.compressed_size)
            .is_some_and(|end| end <= MAX_COMPRESSED && ci.compressed_size <= ci.uncompressed_size);
        length && inside
    }

    /// How long its compression info is as a file, with the header, in bytes.
    #[must_use]
    pub const fn ci_file_length(&self) -> u64 {
        // A blob is much shorter than what a number can say.
        let table = self.ci.uncompressed_size.next_multiple_of(BLOCK);
        table.saturating_add(size_of::<Header>() as u64)
    }

    /// How long an entry of its compression info is, in bytes.
    pub(crate) const fn ci_entry_size(&self) -> u64 {
        if self.features.has(features::CI_V2) { 24 } else { 16 }
    }

    /// Whether some of its chunks may lie in batches.
    #[must_use]
    pub const fn has_batches(&self) -> bool {
        self.features.has(features::BATCH)
    }

    /// How many blocks its chunks take, uncompressed.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.uncompressed_size / BLOCK
    }

    /// The entry to be written.
    pub(crate) fn write(&self, index: u32, cut: ChunkSize, digester: Digester) -> BlobEntry {
        BlobEntry {
            id: self.id.to_bytes(),
            index: U32::new(index),
            chunk_size: U32::new(cut.bytes()),
            chunks: U32::new(self.chunks),
            compressor: U32::new(self.compressor.number()),
            digester: U32::new(digester.number()),
            features: U32::new(self.features.bits()),
            compressed_size: U64::new(self.compressed_size),
            uncompressed_size: U64::new(self.uncompressed_size),
            toc_size: U32::new(self.toc.size),
            ci_compressor: U32::new(self.ci.compressor.number()),
            ci_offset: U64::new(self.ci.offset),
            ci_compressed_size: U64::new(self.ci.compressed_size),
            ci_uncompressed_size: U64::new(self.ci.uncompressed_size),
            toc_digest: self.toc.digest,
            meta_digest: [0; 32],
            meta_size: U64::ZERO,
            cipher_iv: U64::ZERO,
            cipher: U32::ZERO,
            reserved: [0; 36],
        }
    }
}
