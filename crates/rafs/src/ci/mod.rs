//! A blob's compression info (`blob.meta`): where each of its chunks lies, compressed and not.
//!
//! For chunks stored alone it says again what the bootstrap says. Those in batches only it can
//! find. It is not believed, only used to look: what is found is checked by the chunk's digest.

mod entry;

use bytes::Bytes;
use zerocopy::byteorder::little_endian::{U32, U64};

use crate::algorithm::Compressor;
use crate::blob::{Blob, Features};
use crate::chunk::{ChunkInfo, Stored};
use crate::codec::decompress_section;
use crate::error::RafsError;
use crate::ondisk::blob::features;
use crate::ondisk::meta::{Batch as RawBatch, EntryV1, EntryV2, Header, MAGIC};
use crate::ondisk::{BLOCK, MAX_CHUNK_SIZE};
use crate::slice::{part, read};

pub use entry::{Entry, Place};

/// How many bytes the header is.
pub const HEADER_SIZE: u64 = size_of::<Header>() as u64;

/// A batch of small chunks in a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Its number in the blob.
    pub number: u32,
    /// Where it begins in the blob, in bytes.
    pub offset: u64,
    /// Its length there, in bytes.
    pub compressed_size: u32,
    /// Its length, in bytes: at most 16 MiB. If both are equal, it is not compressed.
    pub uncompressed_size: u32,
}

/// Where the bytes of a chunk are to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Location {
    /// By themselves.
    Alone {
        /// Where they begin in the blob, in bytes.
        offset: u64,
        /// Their length there, in bytes.
        size: u32,
    },
    /// In a batch.
    Batched {
        /// The batch.
        batch: Batch,
        /// Where they begin in it, decompressed.
        at: u32,
    },
}

/// The compression info of one blob.
#[derive(Clone, Debug)]
pub struct CompressionInfo {
    /// Entries and batches, decompressed. Of a file that somebody mapped, it is a part.
    table: Bytes,
    v2: bool,
    entries: u32,
    batches_at: u64,
    batches: u32,
    /// The blob's two lengths.
    compressed_end: u64,
    uncompressed_end: u64,
}

impl CompressionInfo {
    /// From the bytes of the blob that begin at [`crate::blob::CiPlace::offset`] and are
    /// [`crate::blob::CiPlace::compressed_size`] and [`HEADER_SIZE`] long.
    ///
    /// # Errors
    /// If the header is not this blob's, or the table does not decompress.
    pub fn from_blob(blob: &Blob, stored: &[u8]) -> Result<Self, RafsError> {
        let what = "compression info";
        let table = part(stored, 0, blob.ci.compressed_size, what)?;
        let header: &Header = read(stored, blob.ci.compressed_size, "compression info header")?;
        let size = blob.ci.uncompressed_size;
        let table = decompress_section(blob.ci.compressor, table, size)
            .map_err(|error| RafsError::Section { what, error })?;
        Self::new(blob, header, table.into())
    }

    /// From a file that has the table decompressed, padded to whole blocks, and the header behind
    /// it: what travels in the bootstrap's layer, and what caches keep.
    ///
    /// # Errors
    /// If the header is not this blob's.
    pub fn from_file(blob: &Blob, file: &Bytes) -> Result<Self, RafsError> {
        let what = "compression info";
        let table = part(file, 0, blob.ci.uncompressed_size, what)?;
        let at = (file.len() as u64).saturating_sub(HEADER_SIZE);
        let header: &Header = read(file, at, "compression info header")?;
        if blob.ci.uncompressed_size.checked_next_multiple_of(BLOCK) != Some(at) {
            return Err(RafsError::corrupt(what, at, "the file has another length"));
        }
        Self::new(blob, header, file.slice_ref(table))
    }

    fn new(blob: &Blob, header: &Header, table: Bytes) -> Result<Self, RafsError> {
        let bad = |why| RafsError::corrupt("compression info header", 0, why);
        if header.magic.get() != MAGIC || header.magic2.get() != MAGIC {
            return Err(bad("it has no magic"));
        }
        const SHAPE: u32 = features::CI_V2 | features::BATCH;
        let bits = Features::read(header.features.get(), 4)?.bits();
        if bits & SHAPE != blob.features.bits() & SHAPE || header.entries.get() != blob.chunks {
            return Err(bad("it is another blob's"));
        }
        let batched = bits & features::BATCH != 0;
        let info = Self {
            v2: bits & features::CI_V2 != 0,
            entries: blob.chunks,
            batches_at: header.contexts_at.get(),
            batches: if batched { header.contexts.get() } else { 0 },
            compressed_end: blob.compressed_size,
            uncompressed_end: blob.uncompressed_size,
            table,
        };
        let entries = u64::from(info.entries) * blob.ci_entry_size();
        let batches = u64::from(info.batches) * size_of::<RawBatch>() as u64;
        part(&info.table, 0, entries, "compression info")?;
        part(&info.table, info.batches_at, batches, "batches")?;
        if info.batches > 0 && info.batches_at < entries {
            return Err(bad("batches lie among the entries"));
        }
        Ok(info)
    }

    /// How many chunks the blob has.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.entries
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// What it says of chunk `index`.
    ///
    /// # Errors
    /// If there is no such chunk, or it lies outside of the blob.
    pub fn entry(&self, index: u32) -> Result<Entry, RafsError> {
        let what = "compression info";
        let bad = |why| RafsError::corrupt(what, u64::from(index), why);
        if index >= self.entries {
            return Err(bad("there is no such chunk"));
        }
        let entry = if self.v2 {
            let at = u64::from(index) * size_of::<EntryV2>() as u64;
            Entry::read_v2(read(&self.table, at, what)?).ok_or_else(|| bad("unknown flags"))?
        } else {
            let at = u64::from(index) * size_of::<EntryV1>() as u64;
            Entry::read_v1(read(&self.table, at, what)?)
        };
        let plain = entry.uncompressed_offset.checked_add(u64::from(entry.uncompressed_size));
        let stored = match entry.place {
            Place::Alone { offset, size, .. } => offset.checked_add(u64::from(size)),
            Place::Batched { offset, .. } => Some(offset),
        };
        let inside = plain.is_some_and(|end| end <= self.uncompressed_end)
            && stored.is_some_and(|end| end <= self.compressed_end);
        inside.then_some(entry).ok_or_else(|| bad("the chunk lies outside of the blob"))
    }

    fn batch(&self, number: u32, offset: u64) -> Result<Batch, RafsError> {
        let bad = |why| RafsError::corrupt("batches", u64::from(number), why);
        if number >= self.batches {
            return Err(bad("there is no such batch"));
        }
        let at = self.batches_at + u64::from(number) * size_of::<RawBatch>() as u64;
        let raw: &RawBatch = read(&self.table, at, "batches")?;
        let batch = Batch {
            number,
            offset,
            compressed_size: raw.compressed_size.get(),
            uncompressed_size: raw.uncompressed_size.get(),
        };
        let end = offset.checked_add(u64::from(batch.compressed_size));
        let fits = end.is_some_and(|end| end <= self.compressed_end)
            && batch.compressed_size <= batch.uncompressed_size
            && batch.uncompressed_size <= MAX_CHUNK_SIZE;
        fits.then_some(batch).ok_or_else(|| bad("the batch cannot lie there"))
    }

    /// Where the bytes of `chunk` are to be had.
    ///
    /// # Errors
    /// If this and the bootstrap do not agree on it.
    pub fn locate(&self, chunk: &ChunkInfo) -> Result<Location, RafsError> {
        let entry = self.entry(chunk.index)?;
        let differs = RafsError::corrupt(
            "compression info",
            u64::from(chunk.index),
            "it does not agree with the bootstrap",
        );
        let place = (chunk.uncompressed_offset, chunk.uncompressed_size);
        if (entry.uncompressed_offset, entry.uncompressed_size) != place {
            return Err(differs);
        }
        match (entry.place, chunk.stored) {
            (Place::Alone { offset, size, compressed }, Stored::Alone { .. })
                if chunk.stored == (Stored::Alone { offset, size, compressed }) =>
            {
                Ok(Location::Alone { offset, size })
            }
            (Place::Batched { batch, offset, at }, Stored::Batched) => {
                let batch = self.batch(batch, offset)?;
                let end = u64::from(at) + u64::from(chunk.uncompressed_size);
                if end > u64::from(batch.uncompressed_size) {
                    return Err(differs);
                }
                Ok(Location::Batched { batch, at })
            }
            _ => Err(differs),
        }
    }
}

/// The header to be written. `contexts` are batches; `0` if there are none.
pub(crate) fn header(
    blob_features: Features,
    compressor: Compressor,
    entries: u32,
    place: (u64, u64, u64),
    contexts: (u64, u32),
) -> Header {
    let (offset, compressed_size, uncompressed_size) = place;
    let (contexts_at, count) = contexts;
    Header {
        magic: U32::new(MAGIC),
        features: U32::new(blob_features.bits()),
        compressor: U32::new(compressor.number()),
        entries: U32::new(entries),
        compressed_offset: U64::new(offset),
        compressed_size: U64::new(compressed_size),
        uncompressed_size: U64::new(uncompressed_size),
        contexts_at: U64::new(contexts_at),
        contexts_size: U64::new(u64::from(count) * size_of::<RawBatch>() as u64),
        contexts: U32::new(count),
        reserved: [0; 4032],
        magic2: U32::new(MAGIC),
    }
}
