//! `nydusd mount`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use image::oci::Platform;
use image::store::{Access, docker_config_default};
use telemetry::logs;

use super::chunks::ChunkArgs;
use super::claim::claim;
use super::file::FileArgs;
use super::given::Given;
use super::logging::LogArgs;
use super::prefetch::PrefetchArgs;
use crate::node::{Node, Order};
use crate::{api, background, descriptors, serve};

/// Where chunks are kept if nobody says otherwise.
pub(super) const CACHE: &str = "/var/lib/meganeura/nydusd";

/// Mount an image
///
/// Returns when it is mounted. A process stays that serves it, and others over the same cache, until
/// the last is unmounted.
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
    /// Where chunks are kept. One process uses it at a time, and serves all mounts over it
    #[arg(
        long,
        value_name = "DIR",
        env = "MEGANEURA_CACHE_DIR",
        default_value = CACHE
    )]
    cache_dir: PathBuf,
    /// Serve from this process, until it is unmounted or this process is asked to end
    #[arg(short, long)]
    foreground: bool,
    #[command(flatten)]
    _file: FileArgs,
    #[command(flatten)]
    chunks: ChunkArgs,
    #[command(flatten)]
    prefetch: PrefetchArgs,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    log: LogArgs,
}

impl Mount {
    /// Mounts; `given` says which options the command line has.
    pub(super) fn run(&self, given: Given) -> anyhow::Result<()> {
        let order = self.order()?;
        let socket = api::socket(&self.cache_dir);
        if self.foreground || background::stays() {
            return self.serve(&order);
        }
        if api::ask_for(&socket, &order)?.is_none()
            && let Err(status) = background::start().context("nydusd cannot be started")?
        {
            bail!("the image is not mounted: {status}");
        }
        self.say_what_is_ignored(&socket, given);
        Ok(())
    }

    /// The process that serves may have been there before: then it has options of its own.
    fn say_what_is_ignored(&self, socket: &Path, given: Given) {
        // It has mounted; what it does not tell is no reason to fail.
        let Ok(Some(theirs)) = api::ask_supply(socket) else { return };
        for ignored in given.ignored(&self.chunks.supply(), &theirs) {
            eprintln!("nydusd: {ignored}");
        }
    }

    /// Serves the mount, and others that this process is asked for.
    fn serve(&self, order: &Order) -> anyhow::Result<()> {
        logs::init(&self.log.config())?;
        if background::stays() {
            background::detach();
        }
        // Each thread that hears the kernel has room for a write of 16 MiB, which never comes.
        sys::keep_large_allocations_apart();
        descriptors::raise();
        let make = || Node::new(&self.cache_dir, &self.chunks.supply());
        // Another one may have been started at the same time, and then mounts it.
        let socket = api::socket(&self.cache_dir);
        let other = || Ok(background::stays() && api::ask_for(&socket, order)?.is_some());
        let Some(node) = claim(&self.cache_dir, make, other)? else {
            background::ready(&self.log()).context("nobody waits for the mount")?;
            return Ok(());
        };
        serve::serve(node, &self.cache_dir, None, Some(order.clone()), || {
            let ready = || background::ready(&self.log()).context("nobody waits for the mount");
            background::stays().then(ready).transpose()
        })
    }

    /// Where the process that stays says what happens.
    fn log(&self) -> PathBuf {
        self.cache_dir.join("nydusd.log")
    }

    /// Paths are made whole: who is asked stands elsewhere.
    fn order(&self) -> anyhow::Result<Order> {
        let whole = |path: &PathBuf| std::path::absolute(path);
        Ok(Order {
            image: whole_name(&self.image)?,
            at: whole(&self.folder)?,
            driver: self.chunks.driver,
            blob_dir: self.blob_dir.as_ref().map(whole).transpose()?,
            platform: self.platform.as_ref().map(ToString::to_string),
            access: Access {
                plain_http: self.access.plain_http,
                ca: self.access.ca.iter().map(whole).collect::<Result<_, _>>()?,
                docker_config: self.access.docker_config.as_ref().map(whole).transpose()?,
                docker_config_default: Some(whole_default()?),
            },
            prefetch: self.prefetch.order(),
        })
    }
}

/// Where docker's configuration is looked for: who is asked has another user's environment.
fn whole_default() -> std::io::Result<PathBuf> {
    docker_config_default().map_or_else(|| Ok(PathBuf::new()), std::path::absolute)
}

/// An image's name with its path made whole, if it is one.
fn whole_name(name: &str) -> anyhow::Result<String> {
    const PATHS: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "bootstrap:"];
    let prefix = PATHS.iter().find(|prefix| name.starts_with(**prefix)).copied();
    let rest = name.strip_prefix(prefix.unwrap_or_default()).unwrap_or(name);
    let (path, tag) = rest.split_once(':').unwrap_or((rest, ""));
    if prefix.is_none() && !Path::new(path).exists() {
        return Ok(name.to_owned());
    }
    let path = std::path::absolute(path)?;
    let path = path.to_str().context("the image's path is no text")?;
    let colon = if rest.contains(':') { ":" } else { "" };
    Ok(format!("{}{path}{colon}{tag}", prefix.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_whole_and_references_are_left() {
        let here = std::env::current_dir().unwrap().display().to_string();
        let whole = |name: &str| whole_name(name).unwrap();
        assert_eq!(whole("oci:x/y:v1"), format!("oci:{here}/x/y:v1"));
        assert_eq!(whole("bootstrap:b"), format!("bootstrap:{here}/b"));
        assert_eq!(whole("Cargo.toml"), format!("{here}/Cargo.toml"));
        assert_eq!(whole("/a/b:c"), "/a/b:c");
        assert_eq!(whole("127.0.0.1:5000/a/b:v1"), "127.0.0.1:5000/a/b:v1");
        assert_eq!(whole("docker://r.example/a"), "docker://r.example/a");
    }
}
