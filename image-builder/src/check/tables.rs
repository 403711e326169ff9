//! What a data blob says of itself: its compression info, its digests, its table of contents.

use image::causes;
use rafs::ondisk::blob::features;
use rafs::section::{Section, SectionName, TOC_TAIL, Toc, TocEntry};
use rafs::{Blob, ChunkDigest, CompressionInfo};

use crate::opened::{OpenError, Opened, ReadAt};

use super::Problem;

/// What was found in one blob's tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) problems: Vec<Problem>,
    /// Where the chunks' digests lie, if they do and are right.
    pub(super) digests: Option<Section>,
}

struct Look<'a> {
    opened: &'a Opened,
    number: u8,
    blob: &'a Blob,
    bytes: &'a dyn ReadAt,
    found: Tables,
}

/// Reads the tables of blob `number`.
///
/// # Errors
/// If they cannot be read; what is read and wrong is a problem.
pub(super) fn check(opened: &Opened, number: u8, bytes: &dyn ReadAt) -> Result<Tables, OpenError> {
    let blob = opened.blob(number)?;
    let mut look = Look { opened, number, blob, bytes, found: Tables::default() };
    if opened.has_info_beside(blob) {
        fault(look.twice(), &mut look.found, blob)?;
    }
    if blob.features.has(features::TOC) {
        match look.contents() {
            Ok(toc) => look.entries(&toc)?,
            Err(error) => fault(Err(error), &mut look.found, blob)?,
        }
    }
    Ok(look.found)
}

/// What is the blob's fault is a problem, anything else an error.
fn fault(
    result: Result<Option<&'static str>, OpenError>,
    found: &mut Tables,
    blob: &Blob,
) -> Result<(), OpenError> {
    let why = match result {
        Ok(None) => return Ok(()),
        Ok(Some(why)) => why.to_owned(),
        Err(error) if error.is_fault() => causes(&error),
        Err(error) => return Err(error),
    };
    found.problems.push(Problem::Blob { blob: blob.id, why });
    Ok(())
}

impl Look<'_> {
    fn wrong(&self, error: rafs::RafsError) -> OpenError {
        OpenError::Blob { blob: self.blob.id, error }
    }

    fn read(&self, section: &Section) -> Result<bytes::Bytes, OpenError> {
        let read = self.bytes.read_at(section.offset, section.size);
        read.map_err(OpenError::read(format_args!("a section of blob {}", self.blob.id)))
    }

    /// The compression info that came beside the bootstrap says what the blob's own says.
    fn twice(&self) -> Result<Option<&'static str>, OpenError> {
        let stored = self.opened.stored_info(self.number)?;
        let own = CompressionInfo::from_blob(self.blob, &stored).map_err(|e| self.wrong(e))?;
        let beside = self.opened.info_of(self.number)?;
        let same = (0..own.len()).all(|index| match (own.entry(index), beside.entry(index)) {
            (Ok(own), Ok(beside)) => own == beside,
            _ => false,
        });
        let chunks = self.opened.image().chunks.iter();
        let mut mine = chunks.filter(|chunk| chunk.blob == self.number);
        let same = same && mine.all(|chunk| own.locate(chunk).ok() == beside.locate(chunk).ok());
        Ok((!same).then_some("the chunk information beside the bootstrap is not the blob's"))
    }

    fn contents(&self) -> Result<Toc, OpenError> {
        let length = self.bytes.length();
        let tail = Section {
            name: SectionName::Toc,
            offset: length.saturating_sub(TOC_TAIL),
            size: length.min(TOC_TAIL),
        };
        let read = self.read(&tail)?;
        let (toc, digest) = Toc::read(&read, length).map_err(|e| self.wrong(e))?;
        let said = self.blob.toc.digest;
        if said != [0; 32] && said != *digest.as_bytes() {
            let why = "the table of contents is not the one that the bootstrap knows";
            let error = rafs::RafsError::Corrupt { what: "blob", at: length, why };
            return Err(self.wrong(error));
        }
        Ok(toc)
    }

    /// Every section but the chunks, which have their own digests.
    fn entries(&mut self, toc: &Toc) -> Result<(), OpenError> {
        for entry in toc.entries.iter().filter(|entry| entry.section.name != SectionName::Data) {
            let opened = self.read(&entry.section);
            let opened = opened.and_then(|stored| entry.open(&stored).map_err(|e| self.wrong(e)));
            match opened {
                Ok(bytes) => self.entry(entry, &bytes),
                Err(error) => fault(Err(error), &mut self.found, self.blob)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &TocEntry, bytes: &[u8]) {
        if entry.section.name != SectionName::Digests {
            return;
        }
        let (digests, _) = bytes.as_chunks::<32>();
        let chunks = self.opened.image().chunks.iter().filter(|chunk| chunk.blob == self.number);
        let mut chunks = chunks.map(|chunk| (digests.get(chunk.index as usize), chunk.digest));
        if chunks.all(|(own, digest)| own.copied().map(ChunkDigest) == Some(digest)) {
            self.found.digests = Some(entry.section);
        } else {
            let why = "its chunk digests are not those of the bootstrap".to_owned();
            self.found.problems.push(Problem::Blob { blob: self.blob.id, why });
        }
    }
}
