//! How one image is mounted as its configuration says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use image::store::{Access, Client};

use super::config::{Auth, Backend, Config, RegistryBackend};
use super::credentials::Credentials;
use super::nodes::Nodes;
use super::options::Options;
use crate::driver::Driver;
use crate::fuse::files::Counting;
use crate::metadata::Metadata;
use crate::mounts;
use crate::node::{How, Node};
use crate::open::{self, Found};
use crate::prefetch::PrefetchOrder;

/// Where chunks are kept if the configuration does not say.
const CACHE: &str = "/var/lib/meganeura/nydusd";

/// One mount.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) at: PathBuf,
    pub(super) node: Arc<Node>,
    pub(super) config: Config,
    pub(super) since: SystemTime,
    credentials: Option<Arc<Credentials>>,
}

impl Mount {
    /// Takes new credentials.
    pub(super) fn renew(&self, auth: &Auth) -> std::io::Result<()> {
        self.credentials.as_ref().map_or(Ok(()), |there| there.renew(auth))
    }
}

/// Who mounts.
#[derive(Debug)]
pub(super) struct Mounter {
    driver: Driver,
    client: Client,
    pub(super) nodes: Nodes,
}

impl Mounter {
    pub(super) fn new(options: &Options) -> std::io::Result<Self> {
        Ok(Self {
            driver: options.driver,
            client: Client::new(Access::default())?,
            nodes: Nodes::new(options),
        })
    }

    /// Mounts the image with this bootstrap on the folder `at`; in the log it is called `id`. If
    /// anything is prefetched, the paths `first` are first.
    pub(super) fn mount(
        &self,
        id: &str,
        at: &Path,
        bootstrap: &Path,
        config: &str,
        first: Vec<Vec<u8>>,
    ) -> anyhow::Result<Mount> {
        let config = Config::parse(config)?;
        for line in &config.ignored {
            tracing::warn!(id, "{line}");
        }
        let cache = config.cache.as_deref().unwrap_or_else(|| Path::new(CACHE));
        let node = self.nodes.over(cache, bootstrap)?;
        let at = mounts::resolve(at).with_context(|| at.display().to_string())?;
        clear(&at)?;
        let (name, credentials) = match &config.backend {
            Backend::Registry(registry) => {
                (registry.repository.to_string(), Some(Arc::new(credentials(registry)?)))
            }
            Backend::Files(_) => (bootstrap.display().to_string(), None),
        };
        let prefetch = PrefetchOrder { first, ..config.prefetch.order() };
        let how = How {
            driver: self.driver(config.counting),
            prefetch: &prefetch,
            counting: config.counting,
        };
        node.mount_as(&at, &name, how, |metadata| {
            self.find(&config, bootstrap, credentials.as_ref(), metadata)
        })?;
        Ok(Mount { at, node, config, since: SystemTime::now(), credentials })
    }

    /// The way into the kernel. By EROFS we are asked for pages of blobs, and cannot say of which file
    /// they are: where that is to be counted, it is FUSE, unless somebody has said otherwise.
    const fn driver(&self, counting: Counting) -> Driver {
        match self.driver {
            Driver::Auto if counting.any() => Driver::Fuse,
            driver => driver,
        }
    }

    fn find(
        &self,
        config: &Config,
        bootstrap: &Path,
        credentials: Option<&Arc<Credentials>>,
        metadata: &Metadata,
    ) -> anyhow::Result<Found> {
        match &config.backend {
            Backend::Registry(registry) => {
                let client = self.client.with(Access {
                    plain_http: registry.plain_http,
                    ca: registry.ca.clone(),
                    docker_config: credentials.map(|there| there.path()),
                    docker_config_default: None,
                });
                let repository = registry.repository.clone();
                let found = open::find_beside(bootstrap, repository, &client, metadata)?;
                Ok(match credentials {
                    Some(there) => Found { blobs: there.held_by(found.blobs), ..found },
                    None => found,
                })
            }
            Backend::Files(files) => open::find_files(bootstrap, &files.clone().into(), metadata),
        }
    }
}

/// Takes away what stands at a mount point of ours: it is of a process that is no more.
fn clear(at: &Path) -> std::io::Result<()> {
    while mounts::at(at)?.is_some_and(|mount| mount.is_ours()) {
        tracing::info!(at = %at.display(), "what an earlier process left is taken away");
        mounts::take_away(at, true)?;
    }
    Ok(())
}

fn credentials(registry: &RegistryBackend) -> anyhow::Result<Credentials> {
    let from_environment = || std::env::var("IMAGE_PULL_AUTH").ok().filter(|auth| !auth.is_empty());
    let auth = match (&registry.auth, from_environment()) {
        (Some(auth), _) => Some(auth.clone()),
        (None, Some(auth)) => Some(Auth::basic(auth).context("IMAGE_PULL_AUTH")?),
        (None, None) => None,
    };
    let kept = Credentials::keep(registry.repository.registry(), auth.as_ref());
    kept.context("credentials cannot be kept")
}
