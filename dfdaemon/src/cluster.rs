//! The node as a member of its cluster: joining, serving others, renewing its certificate.
//!
//! A node may start before its supernode, and before it ever joined: the mirror then goes to the
//! registry itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use peer::serve::Uploader;
use peer::{Engine, Slots};
use tokio::sync::oneshot;
use transport::{Endpoint, Identity, JoinError, JoinString, Limits};

use crate::app::per_second;
use crate::config::{Config, Peers};
use crate::link::{Link, Membership};
use crate::memory::Memory;
use crate::search::Search;
use crate::serve;

/// A supernode to join is looked for so often.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

/// How long the certificate has left is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The pause before the certificate is renewed, and between two attempts.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

/// What joining needs.
pub(crate) struct Cluster {
    config: Config,
    /// Read early: a wrong one is an error at the start, not an hour later.
    join: Option<JoinString>,
    name: String,
    engine: Engine,
    endpoint: Arc<OnceLock<Endpoint>>,
    link: Link,
    memory: Memory,
}

impl Cluster {
    /// Checks what the configuration says of the cluster.
    pub(crate) fn new(
        config: &Config,
        engine: &Engine,
        search: &Search,
        link: Link,
    ) -> anyhow::Result<Self> {
        let kept = identity_file(config).exists();
        Ok(Self {
            config: config.clone(),
            join: if kept { None } else { Some(join_string(config)?) },
            name: node_name(config)?,
            engine: engine.clone(),
            endpoint: Arc::clone(&search.endpoint),
            link,
            memory: Memory::new(
                config.state_dir.join("memory"),
                engine.clone(),
                Arc::clone(&search.tickets),
            ),
        })
    }

    /// Becomes a member, says so to the link, and serves others; returns once that is under way.
    pub(crate) async fn join(self, member: oneshot::Sender<Membership>) -> anyhow::Result<()> {
        let identity = self.identity().await?;
        let config = &self.config;
        self.engine.believe(identity.verifier());
        self.memory.recall();
        tokio::spawn(self.memory.keep());
        let supernodes = identity.supernodes().to_vec();
        let uploader = Uploader::new(
            self.engine.clone(),
            identity.verifier(),
            Slots::new(config.peers.upload_slots, config.peers.upload_slots_per_node),
            per_second(config.peers.upload_limit),
        );
        let endpoint = Endpoint::bind(config.peers.listen, identity, limits(&config.peers))
            .with_context(|| format!("peers.listen: cannot listen on {}", config.peers.listen))?;
        let _ = self.endpoint.set(endpoint.clone());
        tokio::spawn(serve::run(endpoint.clone(), Arc::new(uploader)));
        // The link's driver is gone only when the process ends.
        let _ = member.send(Membership { endpoint: endpoint.clone(), supernodes });
        renew(endpoint, self.link, identity_file(&self.config)).await;
        Ok(())
    }

    /// The node's certificate: kept from an earlier run, or got by joining, which is tried until a
    /// supernode answers.
    async fn identity(&self) -> anyhow::Result<Identity> {
        let path = identity_file(&self.config);
        let kept = Identity::load(&path)
            .with_context(|| format!("the node's identity in {} cannot be read", path.display()))?;
        if let Some(kept) = kept.filter(|kept| kept.expires_at() > SystemTime::now()) {
            return Ok(kept);
        }
        let join = match &self.join {
            Some(join) => join.clone(),
            None => join_string(&self.config)?,
        };
        // Not a matter of readiness: the mirror serves meanwhile.
        tracing::info!("looking for a supernode to join");
        loop {
            match transport::join(&join, &self.name).await {
                Ok(identity) => {
                    identity.save(&path).with_context(|| {
                        format!("the node's identity cannot be kept in {}", path.display())
                    })?;
                    tracing::info!(node = %self.name, "joined the cluster");
                    return Ok(identity);
                }
                Err(error @ JoinError::Transport(_)) => {
                    tracing::debug!(%error, "no supernode to join yet; trying again");
                    tokio::time::sleep(JOIN_AGAIN).await;
                }
                Err(error) => return Err(error).context("the cluster does not take this node"),
            }
        }
    }
}

/// A supernode or peer that died is noticed within seconds, so that its transfers go elsewhere.
fn limits(peers: &Peers) -> Limits {
    Limits {
        idle_timeout: Duration::from_secs(5),
        keep_alive: Duration::from_secs(1),
        max_connections: peers.max_connections,
        max_connections_per_peer: peers.max_connections_per_node.max(1),
        max_streams: peers.max_streams.max(1),
        ..Limits::default()
    }
}

fn identity_file(config: &Config) -> PathBuf {
    config.state_dir.join("identity.json")
}

/// Renews the node's certificate when a third of its life is left, over any supernode's connection.
async fn renew(endpoint: Endpoint, link: Link, path: PathBuf) {
    loop {
        let due = endpoint.identity().renew_at().duration_since(SystemTime::now());
        if let Ok(left) = due {
            // Looked at again after an hour at the latest: clocks jump.
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            continue;
        }
        tokio::time::sleep(RENEW_AGAIN).await;
        let Some(connection) = link.connection().borrow().connection.clone() else {
            continue;
        };
        match transport::renew(&connection, &endpoint.identity()).await {
            Ok(identity) => {
                if let Err(error) = identity.save(&path) {
                    tracing::warn!(%error, "the renewed certificate cannot be kept");
                }
                if let Err(error) = endpoint.set_identity(identity) {
                    tracing::warn!(%error, "the renewed certificate cannot be used");
                }
            }
            Err(error) => tracing::warn!(%error, "the certificate is not renewed; trying again"),
        }
    }
}

fn join_string(config: &Config) -> anyhow::Result<JoinString> {
    let text = match (&config.supernode.join, &config.supernode.join_file) {
        (join, _) if !join.is_empty() => join.expose().to_owned(),
        (_, Some(path)) => read(path)?,
        _ => bail!(
            "this node has not joined a cluster yet: set supernode.join to what \
             `supernode join-string` prints on the supernode's machine"
        ),
    };
    text.trim().parse().context("supernode.join is no join string")
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn node_name(config: &Config) -> anyhow::Result<String> {
    if !config.node.is_empty() {
        return Ok(config.node.clone());
    }
    let name = read(Path::new("/proc/sys/kernel/hostname"))?;
    Ok(name.trim().to_lowercase())
}
