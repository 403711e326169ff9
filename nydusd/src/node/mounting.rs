//! How a mount comes to be: once ordered, or brought back, or driven by somebody else.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use image::local::BlobsAt;
use image::store::Client;

use super::{Node, Served};
use crate::driver::{self, Driver};
use crate::lock::lock;
use crate::metadata::Metadata;
use crate::mounts;
use crate::open::{self, Found, Named};
use crate::orders::Order;
use crate::places::resolved;
use crate::prefetch::PrefetchOrder;
use crate::prefetch::runner::Prefetch;
use crate::records::Record;

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
