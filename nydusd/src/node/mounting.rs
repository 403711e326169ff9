//! How a mount comes to be: once ordered, or brought back, or driven by somebody else.

use std::path::Path;
use std::sync::{Arc, MutexGuard};

use anyhow::{Context, bail};
use content::Digest;
use image::local::BlobsAt;
use image::store::Client;

use super::noting::Noted;
use super::{Node, Served};
use crate::descriptors;
use crate::driver;
use crate::fuse::files::Counting;
use crate::lock::lock;
use crate::metadata::Metadata;
use crate::mounts;
use crate::open::{self, Found, Named, Opened};
use crate::orders::{How, Order};
use crate::places::resolved;
use crate::prefetch::runner::Prefetch;
use crate::records::Record;

/// What is to be mounted, where, and how.
#[derive(Debug)]
struct Asked<'a> {
    at: &'a Path,
    /// What the image is called.
    name: &'a str,
    how: How<'a>,
}

impl Node {
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
        let (Order { at, driver, prefetch, .. }, counting) = (order, Counting::default());
        let how = How { driver: *driver, prefetch, counting };
        let asked = Asked { at, name: &order.image, how };
        self.mount_with(&asked, |at, metadata| {
            let blobs = order.blob_dir.clone().map_or(BlobsAt::Guess, BlobsAt::Folder);
            let platform = order.platform.as_deref().map(str::parse).transpose()?;
            let named = Named { name: order.image.clone(), blobs, platform, manifest };
            let found =
                open::find(&named, || self.client(order), metadata, (&self.daemon, &self.grants))?;
            let record = Record::new(at, order, found.manifest, self.records.boot());
            let record = Record { lasting, ..record };
            Ok((found, Some(Noted { record, before: again.cloned() })))
        })
    }

    /// Mounts on the folder `at` the image that `find` finds; `name` is what it is called. Blocks
    /// until it is mounted. Who calls this brings it back in another process if that is wanted.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn mount_as(
        &self,
        at: &Path,
        name: &str,
        how: How<'_>,
        find: impl FnOnce(&Metadata) -> anyhow::Result<Found>,
    ) -> anyhow::Result<()> {
        let asked = Asked { at, name, how };
        self.mount_with(&asked, |_, metadata| Ok((find(metadata)?, None)))
    }

    fn mount_with(
        &self,
        asked: &Asked<'_>,
        find: impl FnOnce(&Path, &Metadata) -> anyhow::Result<(Found, Option<Noted>)>,
    ) -> anyhow::Result<()> {
        let context = || format!("{} cannot be mounted on", asked.at.display());
        let at = &resolved(asked.at).with_context(context)?;
        let _alone = self.places.enter(at).with_context(context)?;
        if self.serves(at) {
            self.is_free(at)?;
        }
        let (found, noted) = find(at, &self.metadata)?;
        let manifest = found.manifest;
        let opened = open::open(found, &self.daemon, &self.grants, Arc::clone(&self.cache))?;
        driver::prove(asked.how.driver, &opened.image);
        drop(self.in_turn(&opened).with_context(context)?);
        self.stays().with_context(context)?;
        // Whoever is left of an earlier mount there has no part in the record of this one.
        if let Some(before) = lock(&self.served).remove(at) {
            lock(&self.leaving).push(before);
        }
        if let Some(noted) = &noted {
            self.note_begin(noted).with_context(context)?;
        }
        let done = self.mount_opened(at, asked, opened, manifest, noted.as_ref());
        if let (Err(_), Some(noted)) = (&done, &noted) {
            self.note_failure(noted);
        }
        done.with_context(context)
    }

    /// Everything is at hand, and somebody else sees to it that no other mounts there.
    fn mount_opened(
        &self,
        at: &Path,
        asked: &Asked<'_>,
        opened: Opened,
        manifest: Option<Digest>,
        noted: Option<&Noted>,
    ) -> anyhow::Result<()> {
        let Asked { name, how: How { driver, prefetch, counting }, .. } = *asked;
        // Who was killed is followed at once: an empty folder is worse than an error.
        mounts::clear(at, &self.folder)?;
        self.is_free(at)?;
        let (lazy, kept) = (Arc::clone(&opened.image), Arc::clone(&opened.bootstrap));
        let readers = self.readers.for_a_mount(counting);
        let turn = self.in_turn(&opened)?;
        let (mounted, driver) = driver::mount(driver, opened, &readers, &self.copies, at, name)?;
        drop(turn);
        tracing::info!(image = name, at = %at.display(), "mounted");
        if let Some(noted) = noted {
            self.note_end(noted);
        }
        driver::prove_rest(&lazy);
        let prefetch = Prefetch::start(&lazy, &self.readers, &self.paces, prefetch);
        let served = Served {
            image: name.to_owned(),
            driver,
            manifest,
            mounted,
            lazy,
            _kept: kept,
            traffic: Arc::clone(readers.traffic()),
            prefetch,
            record: noted.map(|noted| noted.record.clone()),
        };
        self.enter_served(at, served)
    }

    /// # Errors
    /// If one of ours stands at `at`.
    fn is_free(&self, at: &Path) -> anyhow::Result<()> {
        let Some(mount) = mounts::at(at)?.filter(mounts::Mount::is_ours) else { return Ok(()) };
        let image = lock(&self.served).get(at).map(|served| served.image.clone());
        let (image, at) = (image.unwrap_or(mount.source), at.display());
        bail!("{at} is mounted on already: {image} (`nydusd umount {at}` takes it away)")
    }

    /// One mount is made at a time, so that each finds what it needs.
    ///
    /// # Errors
    /// If there are no descriptors left.
    fn in_turn(&self, opened: &Opened) -> anyhow::Result<MutexGuard<'_, ()>> {
        let turn = lock(&self.turn);
        descriptors::are_left(opened.image.bootstrap().blobs().len())?;
        Ok(turn)
    }

    /// What was mounted is served from now on, unless the process has begun to end meanwhile.
    fn enter_served(&self, at: &Path, new: Served) -> anyhow::Result<()> {
        let mut served = lock(&self.served);
        served.insert(at.to_owned(), new);
        // Who takes all away has done so, or waits for the lock.
        if let (true, Some(new)) = (self.is_ending(), served.get(at)) {
            self.take_one_away(at, new);
        }
        self.stays()
    }

    /// # Errors
    /// If this process is about to end.
    fn stays(&self) -> anyhow::Result<()> {
        if self.is_ending() {
            bail!("this process was asked to end");
        }
        Ok(())
    }

    fn client(&self, order: &Order) -> anyhow::Result<Client> {
        let access = &order.access;
        let mut clients = lock(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(there, _)| there == access) {
            return Ok(client.clone());
        }
        let client = Client::new(access.clone())?;
        clients.push((access.clone(), client.clone()));
        Ok(client)
    }
}
