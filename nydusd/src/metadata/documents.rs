//! A registry whose manifests and indexes are remembered by their digests: what was named by one is
//! mounted again without a question.
//!
//! A document of a digest is the same for ever, and is hashed whenever it is read. What a tag leads to
//! is always asked.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use content::Digest;
use image::bytes::FilePart;
use image::place::Place;
use image::registry::{Credential, Reference};
use image::store::{BlobReader, Document, NewBlob, Store, StoreError};

/// The folder's name.
pub(super) const DOCUMENTS: &str = "documents";

/// So many documents are remembered; each has a few kilobytes.
const COUNT: usize = 1024;

/// A store, and the folder in which its documents are remembered.
#[derive(Debug)]
pub struct Remembered {
    store: Arc<dyn Store>,
    folder: PathBuf,
}

impl Remembered {
    /// Remembers the documents of `store` beneath the folder `metadata`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metadata: &Path) -> Self {
        Self { store, folder: metadata.join(DOCUMENTS) }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_hex())
    }

    /// A document that is here and has its digest.
    fn recall(&self, digest: &Digest) -> Option<Document> {
        let path = self.path(digest);
        let bytes = fs::read(&path).ok()?;
        if Digest::of(&bytes) != *digest {
            tracing::warn!(path = %path.display(), "a remembered manifest is damaged: it goes");
            let _ = fs::remove_file(&path);
            return None;
        }
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Document::new(bytes.into(), None).ok()
    }

    fn remember(&self, document: &Document) {
        let (digest, bytes) = (&document.descriptor.digest, &document.bytes);
        // A document that says nothing of what it is is known only by what the registry said.
        let says = Document::new(bytes.clone(), None)
            .is_ok_and(|again| again.descriptor.media_type == document.descriptor.media_type);
        if !says || self.path(digest).exists() {
            return;
        }
        if let Err(error) = self.write(digest, bytes) {
            tracing::debug!(%error, %digest, "a manifest is not remembered");
        }
    }

    fn write(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.path(digest))?;
        self.bound()
    }

    /// Forgets those that were not asked for longest.
    fn bound(&self) -> io::Result<()> {
        let mut there = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            there.push((entry.metadata()?.modified()?, entry.path()));
        }
        there.sort_unstable();
        let much = there.len().saturating_sub(COUNT);
        there.iter().take(much).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

impl Store for Remembered {
    fn place(&self) -> &Place {
        self.store.place()
    }

    fn top(&self) -> Result<Document, StoreError> {
        if let Place::Registry { reference: Reference::Digest(digest), .. } = self.place() {
            return self.document(&digest.clone());
        }
        let top = self.store.top()?;
        self.remember(&top);
        Ok(top)
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        if let Some(document) = self.recall(digest) {
            return Ok(document);
        }
        let document = self.store.document(digest)?;
        self.remember(&document);
        Ok(document)
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        self.store.open_blob(digest, range)
    }

    fn part(
        &self,
        digest: &Digest,
        range: Range<u64>,
        until: Option<Instant>,
    ) -> Result<Bytes, StoreError> {
        self.store.part(digest, range, until)
    }

    fn confirms(&self, digest: &Digest, until: Instant) -> Result<bool, StoreError> {
        self.store.confirms(digest, until)
    }

    fn authorization(&self, until: Instant) -> Result<Option<Credential>, StoreError> {
        self.store.authorization(until)
    }

    fn blob_length(
        &self,
        digest: &Digest,
        until: Option<Instant>,
    ) -> Result<Option<u64>, StoreError> {
        self.store.blob_length(digest, until)
    }

    fn blob_file(&self, digest: &Digest) -> Result<Option<FilePart>, StoreError> {
        self.store.blob_file(digest)
    }

    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError> {
        self.store.put_blob(blob)
    }

    fn mount_blob(&self, digest: &Digest, from: &Place) -> Result<bool, StoreError> {
        self.store.mount_blob(digest, from)
    }

    fn put_document(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.store.put_document(media_type, bytes)
    }

    fn put_top(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.store.put_top(media_type, bytes)
    }
}
