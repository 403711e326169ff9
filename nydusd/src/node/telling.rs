//! What is told of a node's mounts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazy::{BlobKey, ChunkStats};

use super::{Node, Served};
use crate::driver::Driver;
use crate::fuse::traffic::Traffic;
use crate::lock::lock;
use crate::orders::{Stats, Told};

impl Node {
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
        all.extend(self.pending.tell().into_iter().map(|(at, image, why)| Told {
            at,
            image,
            fetched: 0,
            held: 0,
            failed: Some(why),
        }));
        all
    }

    /// What became of the reads and chunks of every mount.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.sweep();
        let stats = |(at, served): (&PathBuf, &Served)| {
            let bootstrap = served.lazy.bootstrap();
            let sizes = bootstrap.blobs().iter().map(|blob| blob.uncompressed_size);
            Stats {
                at: at.clone(),
                image: served.image.clone(),
                manifest: served.manifest,
                driver: served.driver,
                size: sizes.fold(0, u64::saturating_add),
                reads: served.traffic.stats(),
                chunks: ChunkStats::sum(served.lazy.stats().iter().map(|(_, blob)| blob)),
            }
        };
        lock(&self.served).iter().map(stats).collect()
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

    /// What was read of the image at `at`, a path from [`mounts::resolve`].
    #[must_use]
    pub fn traffic(&self, at: &Path) -> Option<Arc<Traffic>> {
        lock(&self.served).get(at).map(|served| Arc::clone(&served.traffic))
    }
}
