//! The sections of a data blob that has tar headers, and its table of contents.
//!
//! ```text
//! chunks │ tar │ compression info, header │ tar │ digests │ tar │ bootstrap │ tar │ contents │ tar
//! ```
//!
//! Each header follows what it names, so the last 512 bytes of a blob say what its last section
//! is: the table of contents, or in blobs from before there was one, the bootstrap itself.

use std::fmt::Write as _;

use content::Digest;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use crate::algorithm::Compressor;
use crate::codec::decompress_section;
use crate::error::{ChunkError, RafsError};
use crate::ondisk::MAX_BOOTSTRAP;
use crate::ondisk::section::{
    MAX_TOC_ENTRIES, TAR_MAGIC, TarHeader, TocEntry as RawEntry, name, toc_flags,
};
use crate::slice::{part, read, read_all};

/// How many bytes a tar header is.
pub const TAR_HEADER_SIZE: u64 = size_of::<TarHeader>() as u64;

/// So many last bytes of a blob always have all of its table of contents.
pub const TOC_TAIL: u64 = 4096;

/// Which section it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SectionName {
    /// The chunks.
    Data,
    /// The compression info with its header.
    Meta,
    /// The header alone; only in tables of contents.
    MetaHeader,
    /// The chunks' digests.
    Digests,
    /// A bootstrap.
    Bootstrap,
    /// The table of contents.
    Toc,
}

impl SectionName {
    const ALL: [(Self, &'static [u8]); 6] = [
        (Self::Data, name::DATA),
        (Self::Meta, name::META),
        (Self::MetaHeader, name::META_HEADER),
        (Self::Digests, name::DIGESTS),
        (Self::Bootstrap, name::BOOTSTRAP),
        (Self::Toc, name::TOC),
    ];

    fn parse(padded: &[u8]) -> Option<Self> {
        let bare = padded.split(|byte| *byte == 0).next()?;
        Self::ALL.iter().find(|(_, name)| *name == bare).map(|(section, _)| *section)
    }

    fn bytes(self) -> &'static [u8] {
        Self::ALL.iter().find(|(section, _)| *section == self).map_or(b"", |(_, name)| *name)
    }
}

/// One section in a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// Which.
    pub name: SectionName,
    /// Where it begins in the blob, in bytes.
    pub offset: u64,
    /// Its length there, in bytes, without its header.
    pub size: u64,
}

/// The section whose header ends at byte `end` of the blob; `tail` are the blob's bytes up to
/// there, at least the last 512 of them.
///
/// # Errors
/// If there is no header there, or it says what cannot be.
pub fn section_before(tail: &[u8], end: u64) -> Result<Section, RafsError> {
    let at = (tail.len() as u64).saturating_sub(TAR_HEADER_SIZE);
    let header: &TarHeader = read(tail, at, "tar header")?;
    let header_at = end.saturating_sub(TAR_HEADER_SIZE);
    let bad = |why| RafsError::corrupt("tar header", header_at, why);
    if header.magic != TAR_MAGIC {
        return Err(bad("it has no magic"));
    }
    if parse_number(&header.checksum) != Some(u64::from(checksum(header))) {
        return Err(bad("its checksum is wrong"));
    }
    let size = parse_number(&header.size).ok_or_else(|| bad("its size is no number"))?;
    let offset = header_at.checked_sub(size).ok_or_else(|| bad("its section is too long"))?;
    let name = SectionName::parse(&header.name).ok_or_else(|| bad("its name is unknown"))?;
    Ok(Section { name, offset, size })
}

/// All sections of a whole blob, the last one first.
///
/// # Errors
/// If some bytes belong to none.
pub fn sections(blob: &[u8]) -> Result<Vec<Section>, RafsError> {
    let mut found = Vec::new();
    let mut end = blob.len() as u64;
    while end > 0 {
        let section = section_before(part(blob, 0, end, "blob")?, end)?;
        if found.len() > MAX_TOC_ENTRIES {
            return Err(RafsError::corrupt("tar header", end, "there are too many sections"));
        }
        found.push(section);
        end = section.offset;
    }
    Ok(found)
}

/// An entry of a table of contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TocEntry {
    /// Where the section lies.
    pub section: Section,
    /// How it is compressed.
    pub compressor: Compressor,
    /// Its length, in bytes.
    pub uncompressed_size: u64,
    /// Its SHA-256, uncompressed; that of the chunks is over them as stored and their header.
    pub digest: Digest,
}

/// The table of contents of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Toc {
    /// Its entries, in the blob's order.
    pub entries: Vec<TocEntry>,
}

impl Toc {
    /// The table of contents of the blob of `length` bytes whose last ones `tail` has: all of
    /// them, or at least [`TOC_TAIL`]. Returned with its SHA-256, header included, which the
    /// bootstrap may know.
    ///
    /// # Errors
    /// If it has none, or one that cannot be.
    pub fn read(tail: &[u8], length: u64) -> Result<(Self, Digest), RafsError> {
        let place = section_before(tail, length)?;
        let bad = |why| RafsError::corrupt("table of contents", place.offset, why);
        if place.name != SectionName::Toc {
            return Err(bad("the blob has none"));
        }
        let bytes = (tail.len() as u64)
            .checked_sub(TAR_HEADER_SIZE + place.size)
            .and_then(|at| part(tail, at, TAR_HEADER_SIZE + place.size, "table of contents").ok())
            .ok_or_else(|| bad("it is too long"))?;
        let raws: &[RawEntry] = read_all(bytes, 0, place.size, "table of contents")?;
        if raws.len() > MAX_TOC_ENTRIES {
            return Err(bad("it is too long"));
        }
        let mut entries = Vec::with_capacity(raws.len());
        for raw in raws {
            let entry = TocEntry::parse(raw).ok_or_else(|| bad("an entry cannot be"))?;
            let end = entry.section.offset.checked_add(entry.section.size);
            if end.is_none_or(|end| end > place.offset) {
                return Err(bad("a section lies outside of the blob"));
            }
            entries.push(entry);
        }
        Ok((Self { entries }, Digest::of(bytes)))
    }

    /// The entry of a section.
    #[must_use]
    pub fn get(&self, name: SectionName) -> Option<&TocEntry> {
        self.entries.iter().find(|entry| entry.section.name == name)
    }
}

impl TocEntry {
    fn parse(raw: &RawEntry) -> Option<Self> {
        let compressor = match raw.flags.get() {
            toc_flags::NONE => Compressor::None,
            toc_flags::ZSTD => Compressor::Zstd,
            toc_flags::LZ4 => Compressor::Lz4,
            _ => return None,
        };
        let section = Section {
            name: SectionName::parse(&raw.name)?,
            offset: raw.compressed_offset.get(),
            size: raw.compressed_size.get(),
        };
        let uncompressed_size = raw.uncompressed_size.get();
        let digest = Digest::from_bytes(raw.digest);
        Some(Self { section, compressor, uncompressed_size, digest })
    }

    pub(crate) fn write(&self) -> RawEntry {
        let mut raw = RawEntry::new_zeroed();
        raw.flags = U32::new(match self.compressor {
            Compressor::None => toc_flags::NONE,
            Compressor::Lz4 => toc_flags::LZ4,
            Compressor::Zstd => toc_flags::ZSTD,
        });
        for (to, from) in raw.name.iter_mut().zip(self.section.name.bytes()) {
            *to = *from;
        }
        raw.digest = *self.digest.as_bytes();
        raw.compressed_offset = U64::new(self.section.offset);
        raw.compressed_size = U64::new(self.section.size);
        raw.uncompressed_size = U64::new(self.uncompressed_size);
        raw
    }

    /// The section's bytes, decompressed and checked, from those in the blob. Not for the chunks,
    /// which are not looked at as one.
    ///
    /// # Errors
    /// If there are more or fewer than the entry says, they do not decompress, or do not match.
    pub fn open(&self, stored: &[u8]) -> Result<Vec<u8>, RafsError> {
        let failed = |error| RafsError::Section { what: "section", error };
        let (expected, actual) = (self.section.size, stored.len() as u64);
        if expected != actual {
            return Err(failed(ChunkError::Length { expected, actual }));
        }
        if self.uncompressed_size > MAX_BOOTSTRAP {
            return Err(RafsError::corrupt("section", self.section.offset, "it is too long"));
        }
        let plain =
            decompress_section(self.compressor, stored, self.uncompressed_size).map_err(failed)?;
        if Digest::of(&plain) != self.digest {
            return Err(failed(ChunkError::Digest));
        }
        Ok(plain)
    }
}

/// The header to be written behind a section.
pub(crate) fn tar_header(name: SectionName, size: u64) -> TarHeader {
    let mut header = TarHeader::new_zeroed();
    for (to, from) in header.name.iter_mut().zip(name.bytes()) {
        *to = *from;
    }
    // Eleven octal digits say 8 GiB; a blob may be longer, in base 256 as GNU tar has it.
    if size < 1 << 33 {
        fill(&mut header.size, &format!("{size:011o}\0"));
    } else {
        header.size[4..].copy_from_slice(&size.to_be_bytes());
        header.size[0] = 0x80;
    }
    fill(&mut header.mtime, "00000000000\0");
    header.kind = b'0';
    header.magic = TAR_MAGIC;
    let mut sum = String::new();
    // Writing to a string does not fail.
    let _ = write!(sum, "{:06o}\0 ", checksum(&header));
    fill(&mut header.checksum, &sum);
    header
}

fn fill(field: &mut [u8], text: &str) {
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// The sum of a header's bytes with spaces for its checksum.
fn checksum(header: &TarHeader) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(header.as_bytes()) - sum(&header.checksum) + 8 * u32::from(b' ')
}

/// A number of tar: octal digits up to a NUL or space, or base 256 after a byte with its top bit.
fn parse_number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let digits = std::iter::once(first & 0x7f).chain(rest.iter().copied());
        return digits.into_iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(256)?.checked_add(u64::from(digit))
        });
    }
    let digits = field.split(|byte| matches!(byte, 0 | b' ')).find(|digits| !digits.is_empty())?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
