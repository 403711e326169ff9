//! Registries, layout folders and archives, all read and written alike.
//!
//! Nothing of what comes is believed: a manifest that was asked for by digest has it, and a blob
//! that is read whole has it at its end ([`Store::read_blob`]). A part of a blob has none; its
//! chunks have.

mod access;
pub mod archive;
mod docker;
mod error;
mod index;
pub mod layout;
mod members;
pub mod new_archive;
mod referrer;
pub mod registry;
mod verifying;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use ::registry::Credential;
use bytes::Bytes;
use content::Digest;

pub use access::{Access, docker_config_default};
pub use error::StoreError;
pub use verifying::Verifying;

use crate::bytes::FilePart;
use crate::oci::{Descriptor, Manifest, Top};
use crate::place::Place;

/// So long a manifest may be, in bytes: what registries take.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// A blob's bytes as they come.
pub type BlobReader = Box<dyn Read + Send>;

/// A manifest or an index, with its bytes.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is, with its digest and length.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Bytes,
    /// What they say.
    pub top: Top,
}

impl Document {
    /// The document that these bytes are.
    ///
    /// # Errors
    /// If they are neither manifest nor index.
    pub fn new(bytes: Bytes, media_type: Option<&str>) -> Result<Self, crate::oci::TopError> {
        use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
        let top = Top::parse(&bytes)?;
        let (said, plain) = match &top {
            Top::Manifest(manifest) => (manifest.media_type.as_deref(), OCI_MANIFEST),
            Top::Index(index) => (index.media_type.as_deref(), OCI_INDEX),
        };
        let descriptor = Descriptor::of(said.or(media_type).unwrap_or(plain), &bytes);
        Ok(Self { descriptor, bytes, top })
    }

    /// The manifest, if it is one.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Manifest> {
        match &self.top {
            Top::Manifest(manifest) => Some(manifest),
            Top::Index(_) => None,
        }
    }
}

/// A blob that is to be written.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
    /// Its bytes, from the file's beginning.
    pub file: Arc<File>,
}

impl NewBlob {
    /// A small blob of these bytes, in a temporary file.
    ///
    /// # Errors
    /// If none can be made.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        Ok(Self { digest: Digest::of(bytes), length: bytes.len() as u64, file: Arc::new(file) })
    }
}

/// Where an image is, opened. Methods block; they may be called from any number of threads, but
/// not from one that runs asynchronous tasks.
pub trait Store: Send + Sync + fmt::Debug {
    /// Which place this is.
    fn place(&self) -> &Place;

    /// What the place's own reference leads to.
    ///
    /// # Errors
    /// If there is no such image, or it cannot be read.
    fn top(&self) -> Result<Document, StoreError>;

    /// The manifest or index with this digest.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or its bytes have another digest.
    fn document(&self, digest: &Digest) -> Result<Document, StoreError>;

    /// The bytes `range` of a blob, unverified; an end beyond the blob's is the blob's.
    ///
    /// # Errors
    /// If there is no such blob, or it cannot be read.
    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError>;

    /// The bytes `range` of a blob at once, as of [`Self::open_blob`]; only a registry is not waited
    /// for beyond `until`.
    ///
    /// # Errors
    /// If there is no such blob, or it cannot be read in time.
    fn part(
        &self,
        digest: &Digest,
        range: Range<u64>,
        until: Option<Instant>,
    ) -> Result<Bytes, StoreError> {
        let _ = until;
        let length = range.end.saturating_sub(range.start);
        // Memory follows what comes and not what was said.
        let mut bytes = Vec::new();
        let read = self.open_blob(digest, range)?.take(length).read_to_end(&mut bytes);
        read.map_err(|error| StoreError::Read { digest: *digest, error })?;
        Ok(bytes.into())
    }

    /// How long a blob is, in bytes, if it is there; only a registry is not waited for beyond `until`.
    ///
    /// # Errors
    /// If that cannot be known, in time.
    fn blob_length(
        &self,
        digest: &Digest,
        until: Option<Instant>,
    ) -> Result<Option<u64>, StoreError>;

    /// Whether the place has a blob, as whoever it belongs to says now, with our own credentials. What
    /// lies on this machine is asked nothing.
    ///
    /// # Errors
    /// If it cannot be known before `until`, or is not for us to know.
    fn confirms(&self, digest: &Digest, until: Instant) -> Result<bool, StoreError> {
        let _ = (digest, until);
        Ok(true)
    }

    /// What proves to a registry that we may read, for somebody who asks it on our behalf. None if
    /// nothing has to, or what has is not known yet.
    ///
    /// # Errors
    /// If it has expired and cannot be renewed before `until`.
    fn authorization(&self, until: Instant) -> Result<Option<Credential>, StoreError> {
        let _ = until;
        Ok(None)
    }

    /// Where a blob's bytes lie, if they are a part of a file of this machine; unverified, as
    /// with [`Self::open_blob`].
    ///
    /// # Errors
    /// If they should be there and are not.
    fn blob_file(&self, digest: &Digest) -> Result<Option<FilePart>, StoreError> {
        let _ = digest;
        Ok(None)
    }

    /// Puts a blob.
    ///
    /// # Errors
    /// If the place does not take it.
    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError>;

    /// Takes a blob over from `from` without the bytes passing through here, if that can be:
    /// whether it could.
    ///
    /// # Errors
    /// If the place does not let itself be written to.
    fn mount_blob(&self, digest: &Digest, from: &Place) -> Result<bool, StoreError>;

    /// Puts a manifest or index that another one lists, or that refers to another one.
    ///
    /// # Errors
    /// If the place does not take it.
    fn put_document(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError>;

    /// Puts what the place's own reference is to lead to; the image is there then.
    ///
    /// # Errors
    /// If the place does not take it, or asks for another digest.
    fn put_top(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError>;
}

impl dyn Store + '_ {
    /// A blob from its beginning to its end, which is an error unless it has the digest and the
    /// length that the descriptor says.
    ///
    /// # Errors
    /// If there is no such blob, or it cannot be read.
    pub fn read_blob(&self, blob: &Descriptor) -> Result<Verifying<BlobReader>, StoreError> {
        let reader = self.open_blob(&blob.digest, 0..blob.size.saturating_add(1))?;
        Ok(Verifying::new(reader, blob.digest, blob.size))
    }

    /// A whole blob of at most `limit` bytes.
    ///
    /// # Errors
    /// If there is no such blob, it is longer, cannot be read, or is another one.
    pub fn whole_blob(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, StoreError> {
        if blob.size > limit {
            let (digest, length) = (blob.digest, blob.size);
            return Err(StoreError::TooLong { digest, length, limit });
        }
        let mut bytes = Vec::new();
        let read = self.read_blob(blob)?.read_to_end(&mut bytes);
        read.map_err(|error| StoreError::Read { digest: blob.digest, error })?;
        Ok(bytes.into())
    }
}

/// Opens places.
#[derive(Clone, Debug)]
pub struct Client {
    access: Access,
    runtime: Arc<registry::Runtime>,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// If threads for the network cannot be had.
    pub fn new(access: Access) -> std::io::Result<Self> {
        Ok(Self { access, runtime: Arc::new(registry::Runtime::new()?) })
    }

    /// A client that reaches registries otherwise, by the same threads.
    #[must_use]
    pub fn with(&self, access: Access) -> Self {
        Self { access, runtime: Arc::clone(&self.runtime) }
    }

    /// Opens a place to read from it.
    ///
    /// # Errors
    /// If it is not there, or not what it should be.
    pub fn open(&self, place: &Place) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match place {
            Place::Registry { .. } => self.registry(place)?,
            Place::Layout { .. } => Arc::new(layout::Layout::open(place)?),
            Place::Archive { .. } => Arc::new(archive::ReadArchive::open(place)?),
        })
    }

    /// Opens a place to write to it; it is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self, place: &Place) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match place {
            Place::Registry { .. } => self.registry(place)?,
            Place::Layout { .. } => Arc::new(layout::Layout::create(place)?),
            Place::Archive { .. } => Arc::new(new_archive::NewArchive::create(place)?),
        })
    }

    fn registry(&self, place: &Place) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(registry::Registry::new(place, &self.access, Arc::clone(&self.runtime))?))
    }
}

/// Reads a new blob's bytes, wherever others stand in the file.
pub(crate) fn spooled(blob: &NewBlob) -> Spooled {
    Spooled::part(blob, 0..blob.length)
}

/// A part of a spooled blob's bytes.
pub(crate) struct Spooled {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Spooled {
    pub(crate) fn part(blob: &NewBlob, range: Range<u64>) -> Self {
        let left = range.end.min(blob.length).saturating_sub(range.start);
        Self { file: Arc::clone(&blob.file), at: range.start, left }
    }
}

impl Read for Spooled {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(read as u64);
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
