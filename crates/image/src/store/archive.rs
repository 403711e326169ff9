//! An image in a tar: an OCI layout, or what `docker save` writes.
//!
//! Read where it lies: one pass finds its members, from then on parts are read. A compressed one
//! is inflated into a file without a name first. Written at the end, members sorted, so that the
//! same image is the same file.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use content::Digest;
use layer::{Compression, Limits, Member, MemberKind, TarReader, TarWriter, Unpacker};
use serde_json::json;
use tree::{Meta, Mode};

use super::error::StoreError;
use super::members::{Members, Span};
use super::{BlobReader, Document, NewBlob, Spooled, Store, docker, index, spooled};
use crate::oci::{Descriptor, Index, Top};
use crate::place::{ArchiveKind, Place};

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

    fn blob_length(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
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

/// An archive that is written, when its image is there.
#[derive(Debug)]
pub struct NewArchive {
    place: Place,
    kind: ArchiveKind,
    path: PathBuf,
    tag: Option<String>,
    put: Mutex<BTreeMap<Digest, Put>>,
}

/// What was put into it so far.
#[derive(Clone, Debug)]
enum Put {
    Blob(NewBlob),
    Document(Bytes),
}

impl NewArchive {
    /// An archive, which is not written yet; what has its name stays until then.
    ///
    /// # Errors
    /// If there is no folder for it.
    pub fn create(place: &Place) -> Result<Self, StoreError> {
        let Place::Archive { kind, file, tag } = place else {
            return Err(StoreError::Empty(place.to_string()));
        };
        let folder = folder_of(file);
        std::fs::create_dir_all(&folder).map_err(StoreError::file(&folder))?;
        let (place, path, tag) = (place.clone(), file.clone(), tag.clone());
        Ok(Self { place, kind: *kind, path, tag, put: Mutex::default() })
    }

    fn put(&self) -> MutexGuard<'_, BTreeMap<Digest, Put>> {
        // What is in it was put whole.
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, out: File, top: &Document) -> io::Result<()> {
        let mut tar = TarWriter::new(BufWriter::with_capacity(1 << 20, out));
        let mut index = Index::new(Vec::new());
        index::add(&mut index, top.descriptor.clone(), self.tag.as_deref());
        put_file(&mut tar, "oci-layout", index::LAYOUT_VERSION.as_bytes())?;
        put_file(&mut tar, "index.json", &index::json(&index))?;
        if let (ArchiveKind::Docker, Top::Manifest(manifest)) = (self.kind, &top.top) {
            let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.to_hex());
            let layers: Vec<_> = manifest.layers.iter().map(path).collect();
            let tags: Vec<_> = self.tag.iter().collect();
            let image =
                json!({"Config": path(&manifest.config), "RepoTags": tags, "Layers": layers});
            put_file(&mut tar, "manifest.json", &index::json(&[image]))?;
        }
        for (digest, put) in &*self.put() {
            let path = format!("blobs/sha256/{}", digest.to_hex());
            match put {
                Put::Document(bytes) => put_file(&mut tar, &path, bytes)?,
                Put::Blob(blob) => append(&mut tar, &path, blob.length, spooled(blob))?,
            }
        }
        tar.finish()?.flush()
    }
}

fn put_file(tar: &mut TarWriter<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    append(tar, path, bytes.len() as u64, bytes)
}

fn append(
    tar: &mut TarWriter<impl Write>,
    path: &str,
    size: u64,
    mut from: impl Read,
) -> io::Result<()> {
    let member = Member {
        path: path.as_bytes().to_vec(),
        kind: MemberKind::File,
        link: Vec::new(),
        meta: Meta { mode: Mode::new(0o644), ..Meta::default() },
        size,
        extents: Vec::new(),
    };
    tar.append(&member, |mut out| io::copy(&mut from, &mut out).map(|_| ()))
        .map_err(io::Error::other)
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

impl Store for NewArchive {
    fn place(&self) -> &Place {
        &self.place
    }

    fn top(&self) -> Result<Document, StoreError> {
        Err(StoreError::Empty(self.place.to_string()))
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        match self.put().get(digest) {
            Some(Put::Document(bytes)) => index::document(&bytes[..], digest),
            _ => Err(StoreError::NoSuchBlob { digest: *digest, place: self.place.to_string() }),
        }
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        match self.put().get(digest) {
            Some(Put::Blob(blob)) => Ok(Box::new(Spooled::part(blob, range))),
            _ => Err(StoreError::NoSuchBlob { digest: *digest, place: self.place.to_string() }),
        }
    }

    fn blob_length(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        Ok(match self.put().get(digest) {
            Some(Put::Blob(blob)) => Some(blob.length),
            _ => None,
        })
    }

    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError> {
        self.put().insert(blob.digest, Put::Blob(blob.clone()));
        Ok(())
    }

    fn mount_blob(&self, digest: &Digest, _from: &Place) -> Result<bool, StoreError> {
        Ok(self.put().contains_key(digest))
    }

    fn put_document(&self, _media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put().insert(Digest::of(bytes), Put::Document(bytes.clone()));
        Ok(())
    }

    fn put_top(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put_document(media_type, bytes)?;
        let top = Document::new(bytes.clone(), Some(media_type))
            .map_err(|error| StoreError::Document { what: self.place.to_string(), error })?;
        let write = || {
            let file =
                tempfile::Builder::new().prefix(".new-").tempfile_in(folder_of(&self.path))?;
            self.write(file.as_file().try_clone()?, &top)?;
            std::fs::set_permissions(file.path(), super::layout::readable())?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(StoreError::file(&self.path))
    }
}
