//! One blob of an image, and its cache of the moment.

use std::sync::{Arc, Mutex, OnceLock};

use rafs::CompressionInfo;

use super::{BlobFrom, LazyImage};
use crate::blob::CachedBlob;
use crate::lock::lock;
use crate::right::Right;

/// One blob of an image, as far as it was used.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) from: BlobFrom,
    /// How much of the blob can be kept.
    keeps: u64,
    cache: Mutex<Option<Arc<CachedBlob>>>,
    pub(super) info: OnceLock<CompressionInfo>,
    pub(crate) right: Right,
}

impl Slot {
    /// Nothing of it was used so far; `keeps` bytes of it can be kept.
    pub(super) fn new(from: BlobFrom, keeps: u64) -> Self {
        let (cache, info, right) = (Mutex::default(), OnceLock::new(), Right::default());
        Self { from, keeps, cache, info, right }
    }

    /// The blob's cache, if it was used, as it was last.
    pub(crate) fn used(&self) -> Option<Arc<CachedBlob>> {
        lock(&self.cache).clone()
    }
}

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// The blob's cache. It is another one once its file was given up.
    pub(crate) fn cache_of(&self, slot: &Slot) -> Arc<CachedBlob> {
        let mut cache = lock(&slot.cache);
        if let Some(cache) = cache.as_ref().filter(|cache| !cache.is_given_up()) {
            return Arc::clone(cache);
        }
        Arc::clone(cache.insert(self.cache.blob(slot.from.key, slot.keeps)))
    }

    /// The same, if anything may be kept there: a file is not made to learn that it holds nothing.
    pub(crate) fn kept_of(&self, slot: &Slot) -> Option<Arc<CachedBlob>> {
        let mut cache = lock(&slot.cache);
        if let Some(cache) = cache.as_ref().filter(|cache| !cache.is_given_up()) {
            return Some(Arc::clone(cache));
        }
        let kept = self.cache.kept(slot.from.key, slot.keeps)?;
        Some(Arc::clone(cache.insert(kept)))
    }
}
