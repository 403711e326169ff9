//! An image in a tar that is there: an OCI layout, or what `docker save` writes.
//!
//! Read where it lies: one pass finds its members, from then on parts are read. A compressed one
//! is inflated into a file without a name first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use content::Digest;
use layer::{Compression, Limits, TarReader, Unpacker};

use super::error::StoreError;
use super::members::{Members, Span};
use super::{BlobReader, Document, NewBlob, Store, docker, index};
use crate::oci::{Descriptor, Index};
use crate::place::Place;

/// An archive that is read.
#[derive(Debug)]
pub struct ReadArchive {
    place: Place,
    tag: Option<String>,
    members: Members,
    index: Index,
    /// What `docker save` has other names for.
    made: BTreeMap<Digest, Bytes>,
    blobs: BTreeMap<Digest, Span>,
}

impl ReadArchive {
    /// Finds what is in an archive.
    ///
    /// # Errors
    /// If it is no tar, or has no image.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        let Place::Archive { file: path, tag, .. } = place else {
            return Err(StoreError::Empty(place.to_string()));
        };
        let file = File::open(path).map_err(StoreError::file(path))?;
        let members = find(plain(file, path)?, path)?;
        let mut archive = Self {
            place: place.clone(),
            tag: tag.clone(),
            blobs: members.blobs(),
            index: Index::new(Vec::new()),
            made: BTreeMap::new(),
            members,
        };
        if let Some(index) = archive.members.read("index.json")? {
            let bad = |_| StoreError::NoLayout(path.clone());
            archive.index = serde_json::from_slice(&index).map_err(bad)?;
        } else if let Some(list) = archive.members.read("manifest.json")? {
            archive.tag = archive.tag.map(|tag| docker::full_name(&tag));
            for image in docker::images(&archive.members, &list, path)? {
                archive.blobs.extend(image.blobs);
                let bytes = image.manifest;
                for tag in image.tags.iter().map(Some).chain(image.tags.is_empty().then_some(None))
                {
                    let listed = Descriptor::of(docker::MANIFEST, &bytes);
                    index::add(&mut archive.index, listed, tag.map(String::as_str));
                }
                archive.made.insert(Digest::of(&bytes), bytes);
            }
        } else {
            return Err(StoreError::NoArchive(path.clone()));
        }
        Ok(archive)
    }
}

/// The archive's file, inflated if it has to be.
fn plain(mut file: File, path: &Path) -> Result<File, StoreError> {
    let mut inflated = || {
        let mut unpacker = Unpacker::new(&mut file, Limits::default())?;
        if unpacker.compression() == Compression::Plain {
            return Ok(None);
        }
        let mut plain = tempfile::tempfile()?;
        io::copy(&mut unpacker, &mut plain)?;
        Ok(Some(plain))
    };
    let inflated = inflated().map_err(StoreError::file(path))?;
    let mut file = inflated.unwrap_or(file);
    file.rewind().map_err(StoreError::file(path))?;
    Ok(file)
}

/// All members by their names, with where their data lie.
fn find(file: File, path: &Path) -> Result<Members, StoreError> {
    let shared = Arc::new(file);
    // Nothing is read ahead: where the reader stands when it has a member, its data begin.
    let at = Cell::new(0);
    let mut members = Members::new(Arc::clone(&shared));
    let bad = |error: layer::TarError| StoreError::File {
        path: path.to_owned(),
        error: io::Error::new(io::ErrorKind::InvalidData, error),
    };
    let mut tar = TarReader::new(Counting { file: &shared, at: &at }, Limits::default());
    while let Some(member) = tar.next_member().map_err(bad)? {
        members.add(&member, at.get());
    }
    Ok(members)
}

/// Reads a file from a place of its own.
struct Counting<'a> {
    file: &'a File,
    at: &'a Cell<u64>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let read = self.file.read_at(buffer, self.at.get())?;
        self.at.set(self.at.get().saturating_add(read as u64));
        Ok(read)
    }
}

impl Store for ReadArchive {
    fn place(&self) -> &Place {
        &self.place
    }

    fn top(&self) -> Result<Document, StoreError> {
        let found = index::choose(&self.index, self.tag.as_deref(), &self.place)?;
        self.document(&found.digest)
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        if let Some(made) = self.made.get(digest) {
            return index::document(&made[..], digest);
        }
        index::document(self.open_blob(digest, 0..u64::MAX)?, digest)
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        let missing = || StoreError::NoSuchBlob { digest: *digest, place: self.place.to_string() };
        let span = self.blobs.get(digest).ok_or_else(missing)?;
        Ok(Box::new(self.members.part(*span, range)))
    }

    fn blob_length(&self, digest: &Digest, _: Option<Instant>) -> Result<Option<u64>, StoreError> {
        Ok(self.blobs.get(digest).map(|span| span.length))
    }

    fn put_blob(&self, _blob: &NewBlob) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.place.to_string()))
    }

    fn mount_blob(&self, _digest: &Digest, _from: &Place) -> Result<bool, StoreError> {
        Err(StoreError::ReadOnly(self.place.to_string()))
    }

    fn put_document(&self, _media_type: &str, _bytes: &Bytes) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.place.to_string()))
    }

    fn put_top(&self, _media_type: &str, _bytes: &Bytes) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.place.to_string()))
    }
}
