//! Many mounts in one process: one chunk cache, one way to dfdaemon, one set of waiting threads.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use image::local::BlobsAt;
use image::store::{Access, Client};
use lazy::{BlobKey, BlobStats, CacheError, ChunkCache, LazyImage};
use serde::{Deserialize, Serialize};
use sys::Mapping;

use crate::driver::{self, Driver};
use crate::fuse::readers::{Readers, WAITING};
use crate::fuse::session::Mounted;
use crate::lock::lock;
use crate::metadata::{Kept, Metadata};
use crate::mounts;
use crate::open::{self, Found, Named, metadata_folder};
use crate::prefetch::PrefetchOrder;
use crate::prefetch::runner::Prefetch;
use crate::swarm::Daemon;

/// What is to be mounted, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The image, as on the command line. Paths are whole.
    pub image: String,
    /// Where: a whole path.
    pub at: PathBuf,
    /// The way into the kernel.
    pub driver: Driver,
    /// With a bootstrap: the folder of its blobs.
    pub blob_dir: Option<PathBuf>,
    /// Of several images under one name, which.
    pub platform: Option<String>,
    /// Whether plain HTTP is spoken with the registry.
    pub plain_http: bool,
    /// Certificate authorities to trust beside the system's.
    pub ca: Vec<PathBuf>,
    /// Docker's configuration file.
    pub docker_config: Option<PathBuf>,
    /// What is fetched before it is read.
    #[serde(default)]
    pub prefetch: PrefetchOrder,
}

/// How a process gets and keeps chunks, for all of its mounts.
#[derive(Clone, Debug)]
pub struct Supply {
    /// How many bytes of chunks are kept.
    pub quota: u64,
    /// The socket of the node's dfdaemon, which need not be there.
    pub dfdaemon: PathBuf,
    /// How long a read waits while nobody gives what it wants.
    pub read_limit: Duration,
}

/// One mount, as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Where.
    pub at: PathBuf,
    /// What.
    pub image: String,
    /// How many bytes of chunks were fetched for the blobs that it uses, uncompressed.
    pub fetched: u64,
    /// How many bytes the chunk cache holds of these blobs.
    pub held: u64,
}

#[derive(Debug)]
struct Served {
    image: String,
    mounted: Mounted,
    lazy: Arc<LazyImage<Mapping>>,
    /// Stays on the disk as long as it is mounted.
    _kept: Arc<Kept>,
    /// Ends with the mount.
    _prefetch: Option<Prefetch>,
}

/// Whether a node could not be made because another process has the cache.
#[must_use]
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CacheError::InUse(_)))
}

/// The process's mounts.
#[derive(Debug)]
pub struct Node {
    cache: Arc<ChunkCache>,
    metadata: Metadata,
    folder: PathBuf,
    daemon: Arc<Daemon>,
    readers: Readers,
    /// One for each way to reach registries: it has threads of its own.
    clients: Mutex<Vec<(Access, Client)>>,
    served: Mutex<BTreeMap<PathBuf, Served>>,
    /// What was unmounted while it was used, and has another mount in its place by now. It is kept
    /// until nobody uses it: at its end before, it would take away what stands there.
    leaving: Mutex<Vec<Served>>,
}

impl Node {
    /// No mounts; chunks are kept in `folder`.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process uses it.
    pub fn new(folder: &Path, supply: &Supply) -> anyhow::Result<Self> {
        let cache = Arc::new(ChunkCache::open(folder, supply.quota)?);
        let folder = folder.canonicalize()?;
        let metadata = Metadata::open(&metadata_folder(&folder));
        Ok(Self {
            cache,
            metadata: metadata.context("there is no place for images' metadata")?,
            folder,
            daemon: Arc::new(Daemon::new(&supply.dfdaemon)?),
            readers: Readers::new(WAITING, supply.read_limit),
            clients: Mutex::default(),
            served: Mutex::default(),
            leaving: Mutex::default(),
        })
    }

    /// Mounts what is ordered. Blocks until it is mounted.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn mount(&self, order: &Order) -> anyhow::Result<()> {
        let Order { at, driver, prefetch, .. } = order;
        self.mount_as(at, *driver, &order.image, prefetch, |metadata| {
            let blobs = order.blob_dir.clone().map_or(BlobsAt::Guess, BlobsAt::Folder);
            let platform = order.platform.as_deref().map(str::parse).transpose()?;
            let named = Named { name: order.image.clone(), blobs, platform, manifest: None };
            open::find(&named, || self.client(order), metadata)
        })
    }

    /// Mounts on the folder `at` the image that `find` finds; `name` is what it is called. Blocks
    /// until it is mounted.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn mount_as(
        &self,
        at: &Path,
        driver: Driver,
        name: &str,
        prefetch: &PrefetchOrder,
        find: impl FnOnce(&Metadata) -> anyhow::Result<Found>,
    ) -> anyhow::Result<()> {
        let context = || format!("{} cannot be mounted on", at.display());
        let at = &mounts::resolve(at).with_context(context)?;
        self.clear(at).with_context(context)?;
        if !at.is_dir() {
            bail!("{} is no folder", at.display());
        }
        if let Some(there) = mounts::at(at)?.filter(mounts::Mount::is_ours) {
            bail!("{} is mounted on already: {}", at.display(), there.source);
        }
        let opened = open::open(find(&self.metadata)?, &self.daemon, Arc::clone(&self.cache))?;
        let (lazy, kept) = (Arc::clone(&opened.image), Arc::clone(&opened.bootstrap));
        let mounted = driver::mount(driver, opened, &self.readers, at, name);
        let mounted = mounted.with_context(context)?;
        tracing::info!(image = name, at = %at.display(), "mounted");
        let prefetch = Prefetch::start(&lazy, &self.readers, prefetch);
        let served =
            Served { image: name.to_owned(), mounted, lazy, _kept: kept, _prefetch: prefetch };
        let before = lock(&self.served).insert(at.clone(), served);
        lock(&self.leaving).extend(before);
        Ok(())
    }

    /// Takes away what a killed process left at `at`. Nobody but this process serves what stands
    /// over its cache.
    fn clear(&self, at: &Path) -> io::Result<()> {
        self.sweep();
        if lock(&self.served).contains_key(at) {
            return Ok(());
        }
        mounts::clear(at, &self.folder)
    }

    /// Forgets what was unmounted; how many mounts are left.
    pub fn sweep(&self) -> usize {
        let mut served = lock(&self.served);
        served.retain(|at, served| {
            let stays = served.mounted.is_served();
            if !stays {
                tracing::info!(at = %at.display(), "unmounted");
            }
            stays
        });
        let mut leaving = lock(&self.leaving);
        leaving.retain(|served| served.mounted.is_served());
        served.len().saturating_add(leaving.len())
    }

    /// Unmounts everything; what is in use goes when its last user does.
    pub fn take_all_away(&self) {
        for at in lock(&self.served).keys() {
            if let Err(error) = mounts::take_away(at, true) {
                tracing::warn!(%error, at = %at.display(), "it cannot be unmounted");
            }
        }
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
            }
        };
        lock(&self.served).iter().map(told).collect()
    }

    /// What became of the chunks of the image at `at`, a path from [`mounts::resolve`].
    #[must_use]
    pub fn blobs(&self, at: &Path) -> Option<Vec<(BlobKey, BlobStats)>> {
        lock(&self.served).get(at).map(|served| served.lazy.stats())
    }

    /// Whether something is still served at `at`, a path from [`mounts::resolve`].
    #[must_use]
    pub fn serves(&self, at: &Path) -> bool {
        self.sweep();
        lock(&self.served).contains_key(at)
    }

    /// The folder of the chunk cache.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn client(&self, order: &Order) -> anyhow::Result<Client> {
        let access = Access {
            plain_http: order.plain_http,
            ca: order.ca.clone(),
            docker_config: order.docker_config.clone(),
        };
        let mut clients = lock(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(there, _)| *there == access) {
            return Ok(client.clone());
        }
        let client = Client::new(access.clone())?;
        clients.push((access, client.clone()));
        Ok(client)
    }
}
