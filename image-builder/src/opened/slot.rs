//! The blobs of an opened image: what it knows of them, and what is read of them when it is asked for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use content::Digest;
use rafs::ci::HEADER_SIZE;
use rafs::{Blob, BlobId, CompressionInfo, RafsError};

use super::{OpenError, Opened, ReadAt};

/// One blob of an opened image, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Slot {
    bytes: OnceLock<Arc<dyn ReadAt>>,
    info: OnceLock<Arc<CompressionInfo>>,
}

impl Opened {
    /// What the image knows of blob `number`.
    ///
    /// # Errors
    /// If there is no such blob, which opening has ruled out for chunks.
    pub fn blob(&self, number: u8) -> Result<&Blob, OpenError> {
        let missing =
            RafsError::Corrupt { what: "blob table", at: 0, why: "there is no such blob" };
        Ok(self.image.blobs.get(usize::from(number)).ok_or(missing)?)
    }

    /// The bytes of blob `number`.
    ///
    /// # Errors
    /// If nobody has them.
    pub fn bytes_of(&self, number: u8) -> Result<&Arc<dyn ReadAt>, OpenError> {
        let blob = self.blob(number)?;
        let slot = self.slot(number)?;
        if slot.bytes.get().is_none() {
            let opened = self.parts.blobs.open(blob.id, None);
            let opened = opened.map_err(OpenError::read(format_args!("blob {}", blob.id)))?;
            // Whoever was faster has opened the same.
            let _ = slot.bytes.set(opened);
        }
        slot.bytes.get().ok_or_else(|| gone(blob.id))
    }

    /// The compression info of blob `number`: from beside the bootstrap, or from the blob.
    ///
    /// # Errors
    /// If it cannot be had, or is another blob's.
    pub fn info_of(&self, number: u8) -> Result<&Arc<CompressionInfo>, OpenError> {
        let blob = self.blob(number)?;
        let slot = self.slot(number)?;
        if slot.info.get().is_none() {
            let beside = match blob.id {
                BlobId::Digest(id) => self.parts.metas.get(&id),
                BlobId::Inline => None,
            };
            let info = match beside {
                Some(file) => CompressionInfo::from_file(blob, file),
                None => CompressionInfo::from_blob(blob, &self.stored_info(number)?),
            };
            let info = info.map_err(|error| OpenError::Blob { blob: blob.id, error })?;
            let _ = slot.info.set(Arc::new(info));
        }
        slot.info.get().ok_or_else(|| gone(blob.id))
    }

    /// The file with a blob's compression info, if it came beside the bootstrap.
    #[must_use]
    pub fn info_file(&self, blob: &Digest) -> Option<&Bytes> {
        self.parts.metas.get(blob)
    }

    /// Whether a blob's compression info came beside the bootstrap.
    #[must_use]
    pub fn has_info_beside(&self, blob: &Blob) -> bool {
        matches!(blob.id, BlobId::Digest(id) if self.info_file(&id).is_some())
    }

    /// The compression info with its header, as the blob has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn stored_info(&self, number: u8) -> Result<Bytes, OpenError> {
        let blob = self.blob(number)?;
        let length = blob.ci.compressed_size.saturating_add(HEADER_SIZE);
        let stored = self.bytes_of(number)?.read_at(blob.ci.offset, length);
        stored.map_err(OpenError::read(format_args!("the chunk information of blob {}", blob.id)))
    }

    fn slot(&self, number: u8) -> Result<&Slot, OpenError> {
        self.slots.get(usize::from(number)).ok_or_else(|| gone(BlobId::Inline))
    }
}

fn gone(blob: BlobId) -> OpenError {
    let error = RafsError::Corrupt { what: "blob table", at: 0, why: "there is no such blob" };
    OpenError::Blob { blob, error }
}
