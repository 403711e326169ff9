//! An image in a tar that is made: an OCI layout, for `docker load` too.
//!
//! Written at the end, members sorted, so that the same image is the same file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use content::Digest;
use layer::{Member, MemberKind, TarWriter};
use serde_json::json;
use tree::{Meta, Mode};

use super::error::StoreError;
use super::{BlobReader, Document, NewBlob, Spooled, Store, index, spooled};
use crate::oci::{Descriptor, Index, Top};
use crate::place::{ArchiveKind, Place};

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

    fn blob_length(&self, digest: &Digest, _: Option<Instant>) -> Result<Option<u64>, StoreError> {
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
