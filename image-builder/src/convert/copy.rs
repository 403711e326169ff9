//! Blobs that are taken over into the target as they are.

use content::Digest;

use super::error::ConvertError;
use super::image::Work;
use super::spool::SpoolFolder;
use crate::oci::{Descriptor, Manifest};
use crate::store::{NewBlob, Store};

impl Work<'_> {
    /// Takes over all blobs of the source's image, which stays what it is.
    pub(crate) fn copy_blobs(&self, manifest: &Manifest) -> Result<(), ConvertError> {
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.copy_blob(self.source, &blob.digest, blob.size)?;
        }
        Ok(())
    }

    /// Takes one blob over from `from`.
    pub(super) fn copy_blob(
        &self,
        from: &dyn Store,
        digest: &Digest,
        length: u64,
    ) -> Result<(), ConvertError> {
        copy_blob(from, self.target, digest, length, &self.shared.spool)
    }
}

/// Copies a blob, by reference where `to` can.
pub(super) fn copy_blob(
    from: &dyn Store,
    to: &dyn Store,
    digest: &Digest,
    length: u64,
    spool: &SpoolFolder,
) -> Result<(), ConvertError> {
    if to.mount_blob(digest, from.place())? {
        return Ok(());
    }
    let mut spool = spool.file()?;
    let blob = Descriptor::new("", *digest, length);
    let copied = std::io::copy(&mut from.read_blob(&blob)?, &mut spool);
    copied.map_err(|error| ConvertError::OtherLayer { digest: *digest, error })?;
    Ok(to.put_blob(&NewBlob { digest: *digest, length, file: spool.done() })?)
}
