//! What is told of a node's mounts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazy::{BlobKey, ChunkStats};
use rafs::Bootstrap;
use sys::Mapping;

use super::{Node, Served};
use crate::driver::Driver;
use crate::fuse::traffic::Traffic;
use crate::lock::lock;
use crate::orders::{Stats, Supply, Told};
use crate::prefetch::runner::{Prefetch, Watch};

impl Node {
    /// How it gets and keeps chunks.
    #[must_use]
    pub fn supply(&self) -> Supply {
        let (quota, read_limit) = (self.quota, self.readers.limit());
        Supply { quota, dfdaemon: self.daemon.socket().to_owned(), read_limit }
    }

    /// Every mount.
    #[must_use]
    pub fn tell(&self) -> Vec<Told> {
        self.sweep();
        let told = |(at, served): (&PathBuf, &Served)| {
            let blobs = served.lazy.stats();
            Told {
                at: at.clone(),
                image: served.image.clone(),
                fetched: blobs.iter().map(|(_, blob)| blob.fetched_bytes).sum(),
                held: blobs.iter().map(|(_, blob)| blob.held).sum(),
                failed: None,
            }
        };
        let mut all: Vec<Told> = lock(&self.served).iter().map(told).collect();
        let pending = self.pending.tell().into_iter();
        all.extend(pending.map(|(at, image, why)| Told::failed(at, image, why)));
        all
    }

    /// What became of the reads and chunks of every mount.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.sweep();
        let stats = |(at, served): (&PathBuf, &Served)| {
            let bootstrap = served.lazy.bootstrap();
            let sizes = bootstrap.blobs().iter().map(|blob| blob.uncompressed_size);
            let stats = Stats {
                at: at.clone(),
                image: served.image.clone(),
                manifest: served.manifest,
                driver: served.driver,
                size: sizes.fold(0, u64::saturating_add),
                reads: served.traffic.stats(),
                chunks: ChunkStats::sum(served.lazy.stats().iter().map(|(_, blob)| blob)),
                prefetch: None,
            };
            (stats, served.prefetch.as_ref().map(Prefetch::watch))
        };
        let all: Vec<_> = lock(&self.served).iter().map(stats).collect();
        // Nobody is held up by who counts.
        let prefetch = |watch: Option<Watch>| watch.map(|watch| watch.stats());
        all.into_iter().map(|(stats, watch)| Stats { prefetch: prefetch(watch), ..stats }).collect()
    }

    /// What became of chunks since the start, of all mounts that there were.
    #[must_use]
    pub fn chunks(&self) -> ChunkStats {
        self.cache.stats()
    }

    /// The way of every mount into the kernel.
    pub(crate) fn drivers(&self) -> Vec<Driver> {
        lock(&self.served).values().map(|served| served.driver).collect()
    }

    /// What became of the chunks of the image at `at`, a path from [`mounts::resolve`].
    #[must_use]
    pub fn blobs(&self, at: &Path) -> Option<Vec<(BlobKey, ChunkStats)>> {
        lock(&self.served).get(at).map(|served| served.lazy.stats())
    }

    /// Shows the metadata of the image at `at`, a path from [`mounts::resolve`].
    ///
    /// [`mounts::resolve`]: crate::mounts::resolve
    pub fn bootstrap<T>(
        &self,
        at: &Path,
        show: impl FnOnce(&Bootstrap<Mapping>) -> T,
    ) -> Option<T> {
        let image = lock(&self.served).get(at).map(|served| Arc::clone(&served.lazy))?;
        Some(show(image.bootstrap()))
    }

    /// What is prefetched of the image at `at`, a path from [`mounts::resolve`], if anything is to be.
    ///
    /// [`mounts::resolve`]: crate::mounts::resolve
    #[must_use]
    pub fn prefetch(&self, at: &Path) -> Option<Watch> {
        lock(&self.served).get(at).and_then(|served| served.prefetch.as_ref()).map(Prefetch::watch)
    }

    /// How many chunks are still to be prefetched for all mounts, and their bytes, uncompressed.
    pub(crate) fn to_prefetch(&self) -> (u64, u64) {
        let watch = |served: &Served| served.prefetch.as_ref().map(Prefetch::watch);
        let all: Vec<Watch> = lock(&self.served).values().filter_map(watch).collect();
        all.iter().map(Watch::stats).fold((0, 0), |(chunks, bytes), stats| {
            (chunks.saturating_add(stats.left), bytes.saturating_add(stats.left_bytes))
        })
    }

    /// What was read of the image at `at`, a path from [`mounts::resolve`].
    #[must_use]
    pub fn traffic(&self, at: &Path) -> Option<Arc<Traffic>> {
        lock(&self.served).get(at).map(|served| Arc::clone(&served.traffic))
    }
}
