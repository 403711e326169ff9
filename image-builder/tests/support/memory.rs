//! A place in memory: what a source says can be anything, and what a target got can be seen.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use content::Digest;
use image_builder::oci::annotation;
use image_builder::place::Place;
use image_builder::store::{BlobReader, Document, NewBlob, Store, StoreError};
use serde_json::json;

/// Blobs and documents by their digests, and what the name leads to.
#[derive(Clone, Debug, Default)]
struct Held {
    bytes: BTreeMap<Digest, Bytes>,
    top: Option<Bytes>,
}

/// A place in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    place: Place,
    held: Mutex<Held>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { place: "oci:/memory".parse().unwrap(), held: Mutex::default() }
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), held: Mutex::new(self.held().clone()) }
    }
}

impl Memory {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Holds these bytes, whatever they are.
    pub(crate) fn put(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.held().bytes.insert(digest, bytes);
        digest
    }

    /// Holds these bytes in the place of those with this digest.
    pub(crate) fn spoil(&self, digest: Digest, bytes: impl Into<Bytes>) {
        self.held().bytes.insert(digest, bytes.into());
    }

    /// What the name is to lead to.
    pub(crate) fn name(&self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.put(bytes.clone());
        self.held().top = Some(bytes);
    }

    /// What the name leads to.
    pub(crate) fn named(&self) -> Option<Bytes> {
        self.held().top.clone()
    }

    /// What has this digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.held().bytes.get(digest).cloned()
    }

    /// Writes it all as an OCI layout; the image's name is `v1`.
    pub(crate) fn write(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for (digest, bytes) in &self.held().bytes {
            fs::write(blobs.join(digest.to_hex()), bytes).unwrap();
        }
        let top = self.top().unwrap().descriptor.annotated(annotation::REF_NAME, "v1");
        let index = json!({"schemaVersion": 2, "manifests": [top]});
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    fn missing(&self, digest: &Digest) -> StoreError {
        StoreError::NoSuchBlob { digest: *digest, place: self.place.to_string() }
    }
}

impl Store for Memory {
    fn place(&self) -> &Place {
        &self.place
    }

    fn top(&self) -> Result<Document, StoreError> {
        let top = self.named().ok_or_else(|| StoreError::Empty(self.place.to_string()))?;
        let what = self.place.to_string();
        Document::new(top, None).map_err(|error| StoreError::Document { what, error })
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        let bytes = self.get(digest).ok_or_else(|| self.missing(digest))?;
        let what = digest.to_string();
        Document::new(bytes, None).map_err(|error| StoreError::Document { what, error })
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        let bytes = self.get(digest).ok_or_else(|| self.missing(digest))?;
        let mut from = Cursor::new(bytes);
        from.set_position(range.start);
        Ok(Box::new(from.take(range.end.saturating_sub(range.start))))
    }

    fn blob_length(&self, digest: &Digest, _: Option<Instant>) -> Result<Option<u64>, StoreError> {
        Ok(self.get(digest).map(|bytes| bytes.len() as u64))
    }

    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError> {
        let mut bytes = vec![0; usize::try_from(blob.length).unwrap()];
        blob.file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(self.put(bytes), blob.digest);
        Ok(())
    }

    fn mount_blob(&self, digest: &Digest, _from: &Place) -> Result<bool, StoreError> {
        Ok(self.get(digest).is_some())
    }

    fn put_document(&self, _media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put(bytes.clone());
        Ok(())
    }

    fn put_top(&self, _media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.name(bytes.clone());
        Ok(())
    }
}
