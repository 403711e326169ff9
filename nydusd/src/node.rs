//! Many mounts in one process: one chunk cache, one way to dfdaemon, one set of waiting threads.

mod ending;
mod mounting;
mod noting;
mod telling;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use content::Digest;
use image::store::{Access, Client};
use lazy::{CacheError, ChunkCache, LazyImage};
use sys::Mapping;

use crate::door::{Door, Inside};
use crate::driver::Driver;
use crate::fuse::copies::Space;
use crate::fuse::readers::{Readers, WAITING};
use crate::fuse::session::Mounted;
use crate::fuse::traffic::Traffic;
use crate::grants::Grants;
use crate::lock::lock;
use crate::metadata::{Kept, Metadata};
use crate::open::metadata_folder;
pub use crate::orders::{How, Order, Stats, Supply, Told};
use crate::places::Places;
use crate::prefetch::pace::Paces;
use crate::prefetch::runner::Prefetch;
use crate::records::{Record, Records};
use crate::restore::Pending;
use crate::swarm::Daemon;
use crate::tally::Tally;

#[derive(Debug)]
struct Served {
    image: String,
    driver: Driver,
    manifest: Option<Digest>,
    mounted: Mounted,
    lazy: Arc<LazyImage<Mapping>>,
    /// Stays on the disk as long as it is mounted.
    _kept: Arc<Kept>,
    traffic: Arc<Traffic>,
    /// Ends with the mount.
    prefetch: Option<Prefetch>,
    /// What the next process is to mount again; none where somebody else sees to that.
    record: Option<Record>,
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
    records: Records,
    pending: Pending,
    /// Whether mounts outlive the process.
    lasting: bool,
    ending: AtomicBool,
    door: Door,
    folder: PathBuf,
    daemon: Arc<Daemon>,
    grants: Arc<Grants>,
    quota: u64,
    copies: Arc<Space>,
    readers: Readers,
    paces: Paces,
    /// One for each way to reach registries: it has threads of its own.
    clients: Mutex<Vec<(Access, Client)>>,
    served: Mutex<BTreeMap<PathBuf, Served>>,
    /// What was unmounted while it was used, and has another mount in its place by now. It is kept
    /// until nobody uses it: at its end before, it would take away what stands there.
    leaving: Mutex<Vec<Served>>,
    /// Where somebody is mounting.
    places: Places,
    /// Held while the kernel is asked for a mount.
    turn: Mutex<()>,
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
        let records = Records::open(&folder).context("there is no place for records of mounts")?;
        records.tidy();
        let readers = Readers::new(WAITING, supply.read_limit);
        Ok(Self {
            cache,
            metadata: metadata.context("there is no place for images' metadata")?,
            records,
            pending: Pending::default(),
            lasting: false,
            ending: AtomicBool::new(false),
            door: Door::default(),
            grants: Arc::new(Grants::open(&folder.join("grants"))?),
            // An eighth: they are had twice.
            copies: Arc::new(Space::new(folder.clone(), supply.quota / 8)),
            folder,
            daemon: Arc::new(Daemon::new(&supply.dfdaemon, readers.traffic().tally().clone())?),
            quota: supply.quota,
            readers,
            paces: Paces::default(),
            clients: Mutex::default(),
            served: Mutex::default(),
            leaving: Mutex::default(),
            places: Places::default(),
            turn: Mutex::default(),
        })
    }

    /// The same, whose mounts outlive the process: another one brings them back.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// How many bytes the chunk cache may hold.
    #[must_use]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    pub(crate) fn tally(&self) -> &Tally {
        self.daemon.tally()
    }

    pub(crate) const fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) const fn pending(&self) -> &Pending {
        &self.pending
    }

    pub(crate) const fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Lets an order in; `None` if this process is about to end.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        if self.is_ending() { None } else { self.door.enter() }
    }

    /// Lets no order in any more if nothing is mounted; whether it is so.
    pub(crate) fn shut(&self) -> bool {
        self.door.shut(|| lock(&self.served).is_empty())
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
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
}
