//! `nydusd mount`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use image::local::BlobsAt;
use image::oci::Platform;
use lazy::ChunkCache;
use telemetry::logs::{self, LogConfig};
use telemetry::units::ByteSize;

use super::registries::RegistryArgs;
use crate::background;
use crate::driver::{self, Driver};
use crate::fuse::session::Mounted;
use crate::open::{self, Named};
use crate::swarm::Daemon;
use crate::{mounts, open::metadata_folder};

/// Mount an image
///
/// Returns when it is mounted; a process stays that serves it until it is unmounted.
#[derive(Debug, Args)]
pub(super) struct Mount {
    /// The chunked image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where: a folder that is there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Of several images under one name, the one for this platform, as linux/arm64 [default: this
    /// machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// With a bootstrap: the folder of its data blobs, each named by its digest in hex [default:
    /// `blobs` beside it, or its own folder]
    #[arg(short = 'D', long, value_name = "DIR")]
    blob_dir: Option<PathBuf>,
    /// Where chunks are kept. One process uses it at a time
    #[arg(
        long,
        value_name = "DIR",
        env = "MEGANEURA_CACHE_DIR",
        default_value = "/var/lib/meganeura/nydusd"
    )]
    cache_dir: PathBuf,
    /// How much chunks may take there; those that were not used for longest go first
    #[arg(long, value_name = "SIZE", env = "MEGANEURA_CACHE_SIZE", default_value = "64GiB")]
    cache_size: ByteSize,
    /// The unix socket of the node's dfdaemon, by way of which images in registries are fetched;
    /// where nobody listens on it, the registry is asked
    #[arg(
        long,
        value_name = "FILE",
        env = "MEGANEURA_DFDAEMON_SOCKET",
        default_value = "/run/meganeura/dfdaemon.sock"
    )]
    dfdaemon: PathBuf,
    /// The way into the kernel
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
    /// Serve from this process, until it is unmounted or this process is asked to end
    #[arg(short, long)]
    foreground: bool,
    #[command(flatten)]
    registries: RegistryArgs,
}

impl Mount {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if !self.foreground && !background::stays() {
            return match background::start().context("nydusd cannot be started")? {
                Ok(()) => Ok(()),
                Err(status) => bail!("the image is not mounted: {status}"),
            };
        }
        // The library says at `info` and `warn` what we say ourselves, or need not say.
        logs::init(&LogConfig { level: "info,fuser=error".to_owned(), ..LogConfig::default() })?;
        if background::stays() {
            background::detach();
        }
        let mounted = self.mount()?;
        tracing::info!(image = self.image, at = %mounted.at().display(), "mounted");
        if background::stays() {
            let log = self.cache_dir.join("nydusd.log");
            background::ready(&log).context("nobody waits for the mount")?;
        }
        serve(mounted)
    }

    fn mount(&self) -> anyhow::Result<Mounted> {
        let context = || format!("{} cannot be mounted on", self.folder.display());
        let at = mounts::resolve(&self.folder).with_context(context)?;
        let cache = Arc::new(ChunkCache::open(&self.cache_dir, self.cache_size.as_u64())?);
        let cache_dir = self.cache_dir.canonicalize()?;
        mounts::clear(&at, &cache_dir).with_context(context)?;
        if !at.is_dir() {
            bail!("{} is no folder", self.folder.display());
        }
        if let Some(there) = mounts::at(&at)?.filter(mounts::Mount::is_ours) {
            bail!("{} is mounted on already: {}", self.folder.display(), there.source);
        }
        let blobs = self.blob_dir.clone().map_or(BlobsAt::Guess, BlobsAt::Folder);
        let named = Named { name: self.image.clone(), blobs, platform: self.platform.clone() };
        let found = open::find(&named, || self.registries.client())?;
        let daemon = Arc::new(Daemon::new(&self.dfdaemon)?);
        let opened = open::open(found, &daemon, cache, &metadata_folder(&cache_dir))?;
        driver::mount(self.driver, opened, &at, &self.image).with_context(context)
    }
}

/// Until somebody has unmounted it, or asked this process to end.
fn serve(mounted: Mounted) -> anyhow::Result<()> {
    let at = mounted.at().to_owned();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Err(error) = signals() {
            tracing::warn!(%error, "signals cannot be heard");
            return;
        }
        // Who uses it goes on until it is done; the last one's end is ours.
        if let Err(error) = mounts::take_away(&at, true) {
            tracing::warn!(%error, at = %at.display(), "it cannot be unmounted");
        }
    })?;
    mounted.wait().context("the kernel is not heard any more")
}

/// Until this process is asked to end.
fn signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut end, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = end.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
