//! The data blobs of an image that is being made: new ones, and those that are there already.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use content::Digest;
use rafs::Blob;
use rafs::write::Finished;

use super::error::ConvertError;
use super::image::Work;
use crate::store::{NewBlob, Store};

/// A data blob.
#[derive(Clone, Debug)]
pub(crate) struct DataBlob {
    /// What its image knows of it.
    pub(crate) blob: Blob,
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) length: u64,
    /// Its compression info, as it travels in the bootstrap's layer; without it, readers ask the
    /// blob.
    pub(crate) meta_file: Option<Bytes>,
    pub(crate) lies: Lies,
}

/// Where a data blob lies.
#[derive(Clone, Debug)]
pub(crate) enum Lies {
    /// In a file of ours; it was put into the target when it was made.
    Spooled(Arc<File>),
    /// Where another image has it. The target gets it if the image turns out to need it.
    In(Arc<dyn Store>),
}

impl Lies {
    /// Where another image has it.
    pub(crate) fn store(&self) -> Option<&dyn Store> {
        match self {
            Self::Spooled(_) => None,
            Self::In(store) => Some(&**store),
        }
    }
}

impl DataBlob {
    pub(crate) fn new(finished: Finished, file: Arc<File>) -> Self {
        let Finished { blob, meta_file, digest, length, .. } = finished;
        Self { blob, digest, length, meta_file: Some(meta_file), lies: Lies::Spooled(file) }
    }

    /// The blob to be put somewhere, if it is a new one.
    pub(crate) fn new_blob(&self) -> Option<NewBlob> {
        let Lies::Spooled(file) = &self.lies else { return None };
        let (digest, length) = (self.digest, self.length);
        Some(NewBlob { digest, length, file: Arc::clone(file) })
    }
}

impl Work<'_> {
    /// Takes over what the image needs of blobs that lie elsewhere.
    pub(crate) fn take_over(&self, blobs: &[DataBlob]) -> Result<(), ConvertError> {
        for blob in blobs {
            if let Some(store) = blob.lies.store() {
                self.copy_blob(store, &blob.digest, blob.length)?;
            }
        }
        Ok(())
    }
}
