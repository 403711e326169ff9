//! The chunk caches of one process, by the folder that configurations name: usually one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use web::status::Status;

use super::caches;
use super::options::Options;
use crate::lock::lock;
use crate::metrics;
use crate::mounts;
use crate::node::{Node, Supply};

/// The chunk caches, each with its mounts.
#[derive(Debug)]
pub(super) struct Nodes {
    supply: Supply,
    mountpoint: PathBuf,
    open: Mutex<Vec<Open>>,
    /// Set under the lock of `open`: nothing is opened from then on.
    ending: AtomicBool,
}

/// One of them.
#[derive(Debug)]
struct Open {
    cache: PathBuf,
    node: Arc<Node>,
    /// What Prometheus is shown of it.
    pages: Status,
}

impl Nodes {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            supply: options.supply.clone(),
            mountpoint: options.mountpoint.clone(),
            open: Mutex::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// Who keeps chunks in the folder `cache`; the image with this bootstrap is to be mounted.
    pub(super) fn over(&self, cache: &Path, bootstrap: &Path) -> anyhow::Result<Arc<Node>> {
        let mut open = lock(&self.open);
        if let Some(Open { node, .. }) = open.iter().find(|open| open.cache == cache) {
            return Ok(Arc::clone(node));
        }
        if self.ending.load(Ordering::SeqCst) {
            anyhow::bail!("this process was asked to end");
        }
        let node = Arc::new(caches::take(cache, bootstrap, &self.supply)?);
        self.clear(&node)?;
        let (pages, health) = metrics::status(&node);
        health.set(metrics::CONDITION, Ok(()));
        open.push(Open { cache: cache.to_owned(), node: Arc::clone(&node), pages });
        Ok(node)
    }

    /// Takes away what an earlier process left below the mount point, over a chunk cache that has
    /// just become ours.
    fn clear(&self, node: &Node) -> std::io::Result<()> {
        for mount in mounts::all()? {
            if mount.at.starts_with(&self.mountpoint) && mount.is_ours() {
                mounts::clear(&mount.at, node.folder())?;
            }
        }
        Ok(())
    }

    /// What Prometheus is shown: of the chunk cache that was the first to be used.
    pub(super) fn pages(&self) -> Option<Status> {
        lock(&self.open).first().map(|open| open.pages.clone())
    }

    /// How many mounts are left.
    pub(super) fn sweep(&self) -> usize {
        lock(&self.open).iter().map(|open| open.node.sweep()).sum()
    }

    /// Unmounts everything; what is in use goes when its last user does.
    pub(super) fn take_all_away(&self) {
        let open = lock(&self.open);
        self.ending.store(true, Ordering::SeqCst);
        for open in open.iter() {
            open.node.take_all_away();
        }
    }
}
