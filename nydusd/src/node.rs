//! Many mounts in one process: one chunk cache, one way to dfdaemon, one set of waiting threads.

mod telling;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use content::Digest;
use image::local::BlobsAt;
use image::store::{Access, Client};
use lazy::{CacheError, ChunkCache, LazyImage};
use sys::Mapping;

use crate::door::{Door, Inside};
use crate::driver::{self, Driver};
use crate::fuse::copies::Space;
use crate::fuse::readers::{Readers, WAITING};
use crate::fuse::session::Mounted;
use crate::fuse::traffic::Traffic;
use crate::grants::Grants;
use crate::lock::lock;
use crate::metadata::{Kept, Metadata};
use crate::mounts;
use crate::open::{self, Found, Named, metadata_folder};
pub use crate::orders::{ChunkStats, Order, Stats, Supply, Told};
use crate::places::{Places, resolved};
use crate::prefetch::PrefetchOrder;
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
    _prefetch: Option<Prefetch>,
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
    /// One for each way to reach registries: it has threads of its own.
    clients: Mutex<Vec<(Access, Client)>>,
    served: Mutex<BTreeMap<PathBuf, Served>>,
    /// What was unmounted while it was used, and has another mount in its place by now. It is kept
    /// until nobody uses it: at its end before, it would take away what stands there.
    leaving: Mutex<Vec<Served>>,
    /// Where somebody is mounting.
    places: Places,
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
        let readers = Readers::new(WAITING, supply.read_limit);
        Ok(Self {
            cache,
            metadata: metadata.context("there is no place for images' metadata")?,
            records: Records::open(&folder).context("there is no place for records of mounts")?,
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
            clients: Mutex::default(),
            served: Mutex::default(),
            leaving: Mutex::default(),
            places: Places::default(),
        })
    }

    /// The same, whose mounts outlive the process: another one brings them back.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// Mounts what is ordered. Blocks until it is mounted.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn mount(&self, order: &Order) -> anyhow::Result<()> {
        self.mount_recorded(order, None)?;
        self.pending.done(&mounts::resolve(&order.at)?);
        Ok(())
    }

    /// Mounts what another process had mounted: the very same, wherever a tag leads by now.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) fn mount_again(&self, record: &Record) -> anyhow::Result<()> {
        self.mount_recorded(&record.order, Some(record))
    }

    fn mount_recorded(&self, order: &Order, again: Option<&Record>) -> anyhow::Result<()> {
        let manifest = again.and_then(|record| record.manifest);
        let lasting = self.lasting || again.is_some_and(|record| record.lasting);
        let mut written = None;
        let Order { at, driver, prefetch, .. } = order;
        let done = self.mount_with(at, *driver, &order.image, prefetch, |at, metadata| {
            let blobs = order.blob_dir.clone().map_or(BlobsAt::Guess, BlobsAt::Folder);
            let platform = order.platform.as_deref().map(str::parse).transpose()?;
            let named = Named { name: order.image.clone(), blobs, platform, manifest };
            let found = open::find(&named, || self.client(order), metadata, &self.grants)?;
            let record = Record::new(at, order, found.manifest, self.records.boot());
            let record = Record { lasting, ..record };
            self.records.put(&record).context("the mount cannot be recorded")?;
            written = Some(record.clone());
            Ok((found, Some(record)))
        });
        if let (Err(_), Some(record), None) = (&done, written, again) {
            self.records.remove(&record.at);
        }
        done
    }

    /// Mounts on the folder `at` the image that `find` finds; `name` is what it is called. Blocks
    /// until it is mounted. Who calls this brings it back in another process if that is wanted.
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
        self.mount_with(at, driver, name, prefetch, |_, metadata| Ok((find(metadata)?, None)))
    }

    fn mount_with(
        &self,
        at: &Path,
        driver: Driver,
        name: &str,
        prefetch: &PrefetchOrder,
        find: impl FnOnce(&Path, &Metadata) -> anyhow::Result<(Found, Option<Record>)>,
    ) -> anyhow::Result<()> {
        let said = at.display();
        let context = || format!("{said} cannot be mounted on");
        let at = &resolved(at).with_context(context)?;
        let _alone = self.places.enter(at).with_context(context)?;
        let there = |served: bool| -> anyhow::Result<()> {
            match mounts::at(at)?.filter(mounts::Mount::is_ours) {
                Some(mount) if served => {
                    let image = lock(&self.served).get(at).map(|served| served.image.clone());
                    let image = image.unwrap_or(mount.source);
                    let remedy = format!("nydusd umount {said}");
                    bail!("{said} is mounted on already: {image} (`{remedy}` takes it away)")
                }
                _ => Ok(()),
            }
        };
        there(self.serves(at))?;
        let (found, record) = find(at, &self.metadata)?;
        // Who was killed is followed at once: an empty folder is worse than an error.
        if !self.serves(at) {
            mounts::clear(at, &self.folder).with_context(context)?;
        }
        there(true)?;
        let manifest = found.manifest;
        let opened = open::open(found, &self.daemon, &self.grants, Arc::clone(&self.cache))?;
        let (lazy, kept) = (Arc::clone(&opened.image), Arc::clone(&opened.bootstrap));
        let readers = self.readers.for_a_mount();
        let mounted = driver::mount(driver, opened, &readers, &self.copies, at, name);
        let (mounted, driver) = mounted.with_context(context)?;
        tracing::info!(image = name, at = %at.display(), "mounted");
        let prefetch = Prefetch::start(&lazy, &self.readers, prefetch);
        let (image, traffic) = (name.to_owned(), Arc::clone(readers.traffic()));
        let served = Served {
            image,
            driver,
            manifest,
            mounted,
            lazy,
            _kept: kept,
            traffic,
            _prefetch: prefetch,
            record,
        };
        let before = lock(&self.served).insert(at.clone(), served);
        lock(&self.leaving).extend(before);
        Ok(())
    }

    /// Forgets what was unmounted; how many mounts are left.
    pub fn sweep(&self) -> usize {
        let mut served = lock(&self.served);
        served.retain(|at, served| {
            let stays = served.mounted.is_served();
            if !stays {
                tracing::info!(at = %at.display(), "unmounted");
                if served.record.is_some() && !self.is_ending() {
                    self.records.remove(at);
                }
            }
            stays
        });
        if self.grants.are_due() {
            served.values().for_each(|served| served.lazy.renew_rights());
        }
        let mut leaving = lock(&self.leaving);
        leaving.retain(|served| served.mounted.is_served());
        served.len().saturating_add(leaving.len())
    }

    /// Unmounts everything; what is in use goes when its last user does. What is to outlive the process
    /// stays on record.
    pub fn take_all_away(&self) {
        self.sweep();
        self.ending.store(true, Ordering::SeqCst);
        for (at, served) in lock(&self.served).iter() {
            // What somebody has unmounted already is only still in use.
            let listed = mounts::at(at).is_ok_and(|there| there.is_some_and(|m| m.is_ours()));
            match &served.record {
                _ if !listed => {
                    self.records.remove(at);
                }
                Some(record) if record.lasting => {
                    let record = Record { mounted: false, ..record.clone() };
                    if let Err(error) = self.records.put(&record) {
                        tracing::warn!(%error, at = %at.display(), "it will not be brought back");
                    }
                }
                Some(_) => {
                    self.records.remove(at);
                }
                None => {}
            }
            if let Err(error) = mounts::take_away(at, true) {
                tracing::warn!(%error, at = %at.display(), "it cannot be unmounted");
            }
        }
    }

    /// Gives up bringing back what was at `at`, a path from [`mounts::resolve`]; whether something
    /// was.
    pub fn forget(&self, at: &Path) -> bool {
        let pending = self.pending.done(at);
        if pending {
            self.records.remove(at);
        }
        pending
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
