//! What follows the chunks in a data blob.

use bytes::Bytes;
use content::Digest;
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromZeros, IntoBytes};

use crate::algorithm::Compressor;
use crate::blob::{Blob, BlobId, CiPlace, TocPlace};
use crate::chunk::ChunkInfo;
use crate::ci::{HEADER_SIZE, header};
use crate::codec::compress_section;
use crate::ondisk::BLOCK;
use crate::ondisk::meta::{Batch as RawBatch, EntryV2};
use crate::section::{Section, SectionName, TAR_HEADER_SIZE, TocEntry, tar_header};

use super::blob::BlobWriter;
use super::error::WriteError;

/// A data blob whose chunks and their metadata are written. What may follow is a bootstrap, and
/// the table of contents.
#[derive(Debug)]
pub struct BlobTail {
    writer: BlobWriter,
    toc: Vec<TocEntry>,
    blob: Blob,
    meta_file: Bytes,
    chunks: Vec<ChunkInfo>,
}

/// A data blob that is written.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What its image is to know of it; the blob is named by the digest of all its bytes, and
    /// that is its length.
    pub blob: Blob,
    /// Its chunks, in the order in which they were given.
    pub chunks: Vec<ChunkInfo>,
    /// The file that travels in the bootstrap's layer: the compression info as caches keep it.
    pub meta_file: Bytes,
    /// The blob's digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
}

impl BlobWriter {
    /// Writes the last batch, the compression info, and the digests.
    ///
    /// # Errors
    /// If the blob gets too long.
    pub fn finish_chunks(mut self, out: &mut Vec<Bytes>) -> Result<BlobTail, WriteError> {
        self.flush(out)?;
        let mut toc = Vec::new();
        let data = self.section(SectionName::Data, 0, out)?;
        if let Some(section) = data {
            // Over the chunks as they are stored, and their header: all that was hashed so far.
            let digest = self.hasher.clone().finish();
            let uncompressed_size = self.uncompressed_end;
            let compressor = Compressor::None;
            toc.push(TocEntry { section, compressor, uncompressed_size, digest });
        }
        let (ci, meta_file) = self.write_meta(&mut toc, out)?;
        if self.options.contents {
            let digests: Vec<u8> = self.entries.iter().flat_map(|(_, digest)| digest.0).collect();
            self.write_plain(SectionName::Digests, digests.into(), &mut toc, out)?;
        }
        let chunks: Option<Vec<ChunkInfo>> = self.chunks.iter().copied().collect();
        let blob = Blob {
            id: BlobId::Inline,
            features: self.features(),
            compressor: self.encoder.compressor(),
            chunks: u32::try_from(self.entries.len()).map_err(|_| WriteError::Space)?,
            compressed_size: self.length(),
            uncompressed_size: self.uncompressed_end,
            ci,
            toc: TocPlace { size: 0, digest: [0; 32] },
        };
        let chunks = chunks.ok_or(WriteError::Space)?;
        Ok(BlobTail { writer: self, toc, blob, meta_file, chunks })
    }

    /// Entries and batches, and their header.
    fn write_meta(
        &mut self,
        toc: &mut Vec<TocEntry>,
        out: &mut Vec<Bytes>,
    ) -> Result<(CiPlace, Bytes), WriteError> {
        let (table, contexts) = self.table();
        let size = table.len() as u64;
        let smaller = compress_section(self.encoder.compressor(), &table)
            .filter(|smaller| smaller.len() < table.len());
        let compressor = smaller.as_ref().map_or(Compressor::None, |_| self.encoder.compressor());
        let stored = smaller.map_or_else(|| Bytes::from(table.clone()), Bytes::from);
        let offset = self.length();
        let stored_size = stored.len() as u64;
        let entries = u32::try_from(self.entries.len()).map_err(|_| WriteError::Space)?;
        let place = (offset, stored_size, size);
        let header = header(self.features(), compressor, entries, place, contexts);
        let header = Bytes::copy_from_slice(header.as_bytes());
        self.append(stored, out)?;
        self.append(header.clone(), out)?;
        if self.section(SectionName::Meta, offset, out)?.is_some() {
            let part = |name, offset, size| Section { name, offset, size };
            toc.push(TocEntry {
                section: part(SectionName::Meta, offset, stored_size),
                compressor,
                uncompressed_size: size,
                digest: Digest::of(&table),
            });
            toc.push(TocEntry {
                section: part(SectionName::MetaHeader, offset + stored_size, HEADER_SIZE),
                compressor: Compressor::None,
                uncompressed_size: HEADER_SIZE,
                digest: Digest::of(&header),
            });
        }
        let mut file = table;
        file.resize(file.len().next_multiple_of(usize::try_from(BLOCK).unwrap_or(1)), 0);
        file.extend_from_slice(&header);
        let ci =
            CiPlace { compressor, offset, compressed_size: stored_size, uncompressed_size: size };
        Ok((ci, file.into()))
    }

    /// The compression info, with the place of its batches and how many there are.
    fn table(&self) -> (Vec<u8>, (u64, u32)) {
        let batched = self.features().has(crate::ondisk::blob::features::BATCH);
        let entries = self.entries.iter().map(|(entry, _)| entry);
        let mut table = Vec::with_capacity(self.entries.len() * size_of::<EntryV2>());
        for entry in entries {
            match entry.write_v1().filter(|_| !batched) {
                Some(raw) => table.extend_from_slice(raw.as_bytes()),
                None => table.extend_from_slice(entry.write_v2().as_bytes()),
            }
        }
        let contexts_at = if batched { table.len() as u64 } else { 0 };
        for batch in &self.batches {
            let raw = RawBatch {
                compressed_size: U32::new(batch.compressed_size),
                uncompressed_size: U32::new(batch.uncompressed_size),
                ..RawBatch::new_zeroed()
            };
            table.extend_from_slice(raw.as_bytes());
        }
        // There are no more batches than chunks.
        (table, (contexts_at, u32::try_from(self.batches.len()).unwrap_or(u32::MAX)))
    }

    /// Ends a section that began at `offset`, if the blob has such.
    fn section(
        &mut self,
        name: SectionName,
        offset: u64,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<Section>, WriteError> {
        if !self.options.contents {
            return Ok(None);
        }
        let size = self.length() - offset;
        let header = tar_header(name, size);
        self.append(Bytes::copy_from_slice(header.as_bytes()), out)?;
        Ok(Some(Section { name, offset, size }))
    }

    /// A section that is not compressed.
    fn write_plain(
        &mut self,
        name: SectionName,
        bytes: Bytes,
        toc: &mut Vec<TocEntry>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), WriteError> {
        let (offset, digest) = (self.length(), Digest::of(&bytes));
        let uncompressed_size = bytes.len() as u64;
        self.append(bytes, out)?;
        if let Some(section) = self.section(name, offset, out)? {
            toc.push(TocEntry { section, compressor: Compressor::None, uncompressed_size, digest });
        }
        Ok(())
    }
}

impl BlobTail {
    /// What a bootstrap in this blob is to know of it: it has no name, and ends where the
    /// bootstrap begins.
    #[must_use]
    pub const fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its chunks, in the order in which they were given.
    #[must_use]
    pub fn chunks(&self) -> &[ChunkInfo] {
        &self.chunks
    }

    /// Writes the bootstrap, if one was announced, and the table of contents.
    ///
    /// # Errors
    /// If a bootstrap comes that was not announced, or none that was, or the blob gets too long.
    pub fn finish(
        mut self,
        bootstrap: Option<&[u8]>,
        out: &mut Vec<Bytes>,
    ) -> Result<Finished, WriteError> {
        let options = self.writer.options;
        if bootstrap.is_some() != options.inline_bootstrap
            || (bootstrap.is_some() && !options.contents)
        {
            return Err(WriteError::Inline);
        }
        if let Some(bootstrap) = bootstrap {
            self.write_bootstrap(bootstrap, out)?;
        }
        if options.contents {
            self.write_toc(out)?;
        }
        let length = self.writer.length();
        let digest = self.writer.hasher.clone().finish();
        let blob = Blob { id: BlobId::Digest(digest), compressed_size: length, ..self.blob };
        Ok(Finished { blob, chunks: self.chunks, meta_file: self.meta_file, digest, length })
    }

    fn write_bootstrap(&mut self, plain: &[u8], out: &mut Vec<Bytes>) -> Result<(), WriteError> {
        let compressor = Compressor::Zstd;
        let stored = compress_section(compressor, plain).ok_or(WriteError::Encode)?;
        let offset = self.writer.length();
        self.writer.append(stored.into(), out)?;
        if let Some(section) = self.writer.section(SectionName::Bootstrap, offset, out)? {
            let uncompressed_size = plain.len() as u64;
            let digest = Digest::of(plain);
            self.toc.push(TocEntry { section, compressor, uncompressed_size, digest });
        }
        Ok(())
    }

    fn write_toc(&mut self, out: &mut Vec<Bytes>) -> Result<(), WriteError> {
        let mut bytes: Vec<u8> =
            self.toc.iter().flat_map(|entry| entry.write().as_bytes().to_vec()).collect();
        let header = tar_header(SectionName::Toc, bytes.len() as u64);
        bytes.extend_from_slice(header.as_bytes());
        debug_assert!(bytes.len() as u64 > TAR_HEADER_SIZE);
        self.blob.toc = TocPlace {
            size: u32::try_from(bytes.len()).map_err(|_| WriteError::Space)?,
            digest: *Digest::of(&bytes).as_bytes(),
        };
        self.writer.append(bytes.into(), out)
    }
}
