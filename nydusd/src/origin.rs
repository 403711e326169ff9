//! Where chunks come from that are not on the node.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use image::bytes::{Blobs, ReadAt};
use image::registry::Credential;
use lazy::{Source, Want};
use rafs::BlobId;

use crate::tally::{From, Tally};

/// One blob of an image, where the image lies: a folder, a layout, an archive, a registry. It is
/// looked for at the first read, and again at the next if it was not there.
#[derive(Debug)]
pub struct Origin {
    blobs: Arc<dyn Blobs>,
    blob: BlobId,
    open: OnceLock<Arc<dyn ReadAt>>,
    from: From,
    tally: Tally,
}

impl Origin {
    /// The blob `blob` of those, which are `from` there. What they give counts in `tally`.
    #[must_use]
    pub const fn new(blobs: Arc<dyn Blobs>, blob: BlobId, from: From, tally: Tally) -> Self {
        Self { blobs, blob, open: OnceLock::new(), from, tally }
    }

    /// What proves to the registry that we may read; none if nothing has to.
    ///
    /// # Errors
    /// If it has expired and cannot be renewed before `want` ends.
    pub fn authorization(&self, want: &Want) -> io::Result<Option<Credential>> {
        self.blobs.authorization(want.until)
    }

    fn open(&self, want: &Want) -> io::Result<&Arc<dyn ReadAt>> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let opened = self.blobs.open(self.blob, Some(want.until))?;
        // Whoever was faster has opened the same.
        Ok(self.open.get_or_init(|| opened))
    }
}

impl Source for Origin {
    fn read(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        let bytes = self.open(want)?.read_until(offset, length, want.until)?;
        self.tally.given(self.from, length);
        Ok(bytes)
    }

    fn confirm(&self, want: &Want) -> io::Result<()> {
        self.blobs.confirm(self.blob, want.until)
    }
}
