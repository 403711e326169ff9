//! What is all here: a file, which can be copied, or a blob, which can be a device.

use rafs::Blob;
use rafs::bootstrap::{FileType, Inode};
use rafs::ondisk::BLOCK;

use super::{LazyImage, Slot};
use crate::blob::CachedBlob;
use crate::device::Device;

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// Whether all of a file was verified since the start and is here.
    pub fn is_here(&self, inode: &Inode) -> bool {
        let Ok(chunks) = self.bootstrap.chunks(inode) else { return false };
        chunks.iter().all(|chunk| {
            let Ok(chunk) = chunk.map(|chunk| chunk.info) else { return false };
            let slot = self.slots.get(usize::from(chunk.blob));
            let cache = slot.filter(|slot| slot.right.is_proved()).and_then(Slot::used);
            cache.is_some_and(|cache| cache.knows(&chunk))
        })
    }

    /// The cache file of data blob `blob` as a device, if all that the image has in the blob was
    /// verified since the start and is here, and no file names anything else there.
    #[must_use]
    pub fn device(&self, blob: u8) -> Option<Device> {
        let (number, slot) = (blob, self.slots.get(usize::from(blob))?);
        let blob = self.bootstrap.blobs().get(usize::from(number))?;
        let cache = self.kept_of(slot)?;
        // The rest takes a while for a large image.
        if !Self::may_be_device(&cache, blob) {
            return None;
        }
        let chunks = || (0..blob.chunks).filter_map(|n| self.bootstrap.chunk_of(number, n));
        let bytes = chunks().fold(0_u64, |sum, chunk| {
            sum.saturating_add(u64::from(chunk.uncompressed_size).next_multiple_of(BLOCK))
        });
        if bytes == 0 || !slot.right.is_proved() {
            return None;
        }
        let device = cache.device(chunks())?;
        // The kernel goes by the files' indexes: none may name a gap between the chunks.
        (bytes == blob.uncompressed_size || self.names_only_chunks()).then_some(device)
    }

    /// Whether enough of a blob was verified since the start. Who uses less than half of a blob goes
    /// without a device.
    pub(crate) fn may_be_device(cache: &CachedBlob, blob: &Blob) -> bool {
        let verified = cache.verified();
        verified > 0 && verified >= blob.chunks as usize / 2
    }

    /// Whether every chunk that a file names is in the chunk table.
    fn names_only_chunks(&self) -> bool {
        let files = |inode: &Inode| inode.file_type == FileType::Regular;
        let good =
            |inode: &Inode| self.bootstrap.chunks(inode)?.iter().try_for_each(|c| c.map(drop));
        let mut names = self.bootstrap.walk();
        names.all(|name| name.is_ok_and(|n| !files(&n.inode) || good(&n.inode).is_ok()))
    }
}
