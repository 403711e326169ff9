//! What is told of a daemon's mounts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lazy::{BlobKey, ChunkStats};
use serde_json::Value;

use super::{Daemon, ONLY, unknown};
use crate::fuse::traffic::{Totals, Traffic, Waiting};
use crate::lock::lock;
use crate::node::Node;
use crate::prefetch::PrefetchStats;
use crate::snapshotter::mounting::Mount;
use crate::snapshotter::refused::Refused;
use crate::snapshotter::told;

/// What a mount has used.
#[derive(Debug)]
pub struct Used {
    /// Which.
    pub id: String,
    /// Where its chunks are kept.
    pub cache: PathBuf,
    /// Its blobs, and what became of their chunks.
    pub blobs: Vec<(BlobKey, ChunkStats)>,
    /// What the kernel has asked of it.
    pub reads: Totals,
    /// The same, and which files that was of; `None` once it is unmounted.
    pub traffic: Option<Arc<Traffic>>,
    /// What was prefetched of it, if anything was to be.
    pub prefetch: Option<PrefetchStats>,
}

impl Daemon {
    /// What one mount has used; without a name, the only one.
    ///
    /// # Errors
    /// If there is no such mount.
    pub(in crate::snapshotter) fn used(&self, id: Option<&str>) -> Result<Used, Refused> {
        let (id, at, node) = self.mounted(id)?;
        let traffic = node.traffic(&at);
        Ok(Used {
            id,
            cache: node.folder().to_owned(),
            blobs: node.blobs(&at).unwrap_or_default(),
            reads: traffic.as_deref().map(Traffic::totals).unwrap_or_default(),
            traffic,
            prefetch: node.prefetch(&at).map(|watch| watch.stats()),
        })
    }

    /// What the metadata of a mount says of itself.
    ///
    /// # Errors
    /// If there is no such mount.
    pub(in crate::snapshotter) fn superblock(&self, id: &str) -> Result<Value, Refused> {
        let (id, at, node) = self.mounted(Some(id))?;
        node.bootstrap(&at, told::superblock::superblock).flatten().ok_or_else(|| unknown(&id))
    }

    /// The name of a mount, its place and its node; without a name, the only one.
    fn mounted(&self, id: Option<&str>) -> Result<(String, PathBuf, Arc<Node>), Refused> {
        let mounts = lock(&self.mounts);
        let (id, mount) = match id {
            Some(id) => mounts.get_key_value(id).ok_or_else(|| unknown(id))?,
            None if mounts.len() == 1 => mounts.iter().next().ok_or_else(|| unknown(ONLY))?,
            None => return Err(Refused::Unknown("which mount? the query lacks `id`".to_owned())),
        };
        Ok((id.clone(), mount.at.clone(), Arc::clone(&mount.node)))
    }

    /// The reads that wait for chunks, of all mounts.
    pub(in crate::snapshotter) fn waiting(&self) -> Vec<(u64, Waiting)> {
        let mounts = lock(&self.mounts);
        let traffic = mounts.values().filter_map(|mount| mount.node.traffic(&mount.at));
        traffic.flat_map(|traffic| traffic.waiting()).collect()
    }

    /// Shows all mounts.
    pub(in crate::snapshotter) fn with_mounts<T>(
        &self,
        show: impl FnOnce(&BTreeMap<String, Mount>) -> T,
    ) -> T {
        show(&lock(&self.mounts))
    }
}
