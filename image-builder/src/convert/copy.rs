//! An ordinary image, taken over into the target as it is.

use super::error::ConvertError;
use super::image::Work;
use crate::oci::{Descriptor, Manifest};
use crate::store::NewBlob;

impl Work<'_> {
    /// Takes all blobs of an image over, by reference where the target can.
    pub(crate) fn copy_blobs(&self, manifest: &Manifest) -> Result<(), ConvertError> {
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.copy_blob(blob)?;
        }
        Ok(())
    }

    fn copy_blob(&self, blob: &Descriptor) -> Result<(), ConvertError> {
        if self.target.mount_blob(&blob.digest, self.source.place())? {
            return Ok(());
        }
        let mut spool = self.shared.spool.file()?;
        let copied = std::io::copy(&mut self.source.read_blob(blob)?, &mut spool);
        copied.map_err(|error| ConvertError::OtherLayer { digest: blob.digest, error })?;
        let (digest, length) = (blob.digest, blob.size);
        Ok(self.target.put_blob(&NewBlob { digest, length, file: spool.done() })?)
    }
}
