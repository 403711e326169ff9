//! The parts of a node, made in the order of their dependence.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use peer::feed::{Belief, FeedEvent, Feeds};
use peer::limits::Limiter;
use peer::serve::Uploader;
use peer::{Access, Engine};
use registry::Registries;
use store::{Store, StoreConfig};
use telemetry::health::Health;
use telemetry::lifecycle::Lifecycle;
use telemetry::metrics::Metrics;
use telemetry::units::Rate;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use transport::{Endpoint, Identity, JoinError, JoinString, Limits};
use wire::control::Hello;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::link::{Driver, Link, Parts};
use crate::lone::Lone;
use crate::mirror::Mirror;
use crate::search::Search;
use crate::tickets::Tickets;
use crate::{admin, local, serve};

/// Idle tasks are let go of, and the store is kept within its quota, so often.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long the certificate has left is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The pause before the certificate is renewed, and between two attempts.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

/// Runs a node until it is told to stop.
///
/// # Errors
/// If a part cannot be made: an address in use, a store that is another's, no way into the cluster.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let health = Health::awaiting(["mirror"]);
    let metrics = Metrics::new("dfdaemon", env!("CARGO_PKG_VERSION"));
    let counters = peer::Metrics::default();
    metrics.register(|registry| counters.register(registry));
    let metrics = Arc::new(metrics);

    let admin = TcpListener::bind(config.admin.listen)
        .await
        .with_context(|| format!("admin.listen: cannot listen on {}", config.admin.listen))?;
    let routes = admin::routes(Arc::clone(&metrics), health.clone());
    tokio::spawn(async move { axum::serve(admin, routes).await });

    let store = open_store(&config)?;
    let identity = identity(&config, &health).await?;
    let supernodes = identity.supernodes().to_vec();
    let verifier = identity.verifier();
    let endpoint = Endpoint::bind(config.peers.listen, identity, alert(Limits::default()))
        .with_context(|| format!("peers.listen: cannot listen on {}", config.peers.listen))?;

    let (link, ends) = Link::new();
    let engine = Engine::new(store, verifier.clone(), Arc::new(link.clone()), counters);
    show_link(&metrics, &link);
    let tickets = Arc::new(Tickets::default());
    let lone = Arc::new(lone(&config, &engine)?);
    let gateway = Gateway::new(engine.clone(), link.clone(), Arc::clone(&lone), Arc::clone(&tickets));
    let uploader = Uploader::new(
        engine.clone(),
        verifier,
        config.peers.upload_slots as usize,
        per_second(config.peers.upload_limit),
    );
    tokio::spawn(serve::run(endpoint.clone(), Arc::new(uploader)));
    tokio::spawn(renew(endpoint.clone(), link.clone(), identity_file(&config)));
    let download = Arc::new(Limiter::new(per_second(config.peers.download_limit)));
    let search = Search {
        engine: engine.clone(),
        endpoint: endpoint.clone(),
        download: Arc::clone(&download),
        tickets,
        lone,
    };
    let parts = Parts {
        engine: engine.clone(),
        endpoint,
        supernodes,
        hello: hello(&config),
        download,
        search,
    };
    tokio::spawn(Driver::new(ends, parts).run());
    tokio::spawn(sweep(engine));

    let listener = TcpListener::bind(config.mirror.listen)
        .await
        .with_context(|| format!("mirror.listen: cannot listen on {}", config.mirror.listen))?;
    let gateway = Arc::new(gateway);
    let socket = local::listen(&config.local.socket).await?;
    let local = local::routes(Arc::clone(&gateway));
    tokio::spawn(async move { axum::serve(socket, local).await });
    let mirror = Mirror::new(gateway, config.registries.default.clone()).routes();
    let token = lifecycle.token();
    lifecycle.spawn("mirror", async move {
        axum::serve(listener, mirror)
            .with_graceful_shutdown(async move { token.cancelled().await })
            .await
    });
    health.set("mirror", Ok(()));
    tracing::info!(mirror = %config.mirror.listen, peers = %config.peers.listen, "ready");
    lifecycle.ready();
    lifecycle.run_until_stopped().await?;
    Ok(())
}

fn open_store(config: &Config) -> anyhow::Result<Arc<Store>> {
    let store = Store::open(StoreConfig {
        quota_bytes: config.store.quota.as_u64(),
        ..StoreConfig::new(config.state_dir.join("store"))
    })
    .with_context(|| format!("the store in {} cannot be opened", config.state_dir.display()))?;
    Ok(Arc::new(store))
}

/// The node's certificate: kept from an earlier run, or got by joining. Joining is tried until a
/// supernode answers: a node may start before it.
async fn identity(config: &Config, health: &Health) -> anyhow::Result<Identity> {
    let path = identity_file(config);
    let kept = Identity::load(&path)
        .with_context(|| format!("the node's identity in {} cannot be read", path.display()))?;
    if let Some(kept) = kept.filter(|kept| kept.expires_at() > SystemTime::now()) {
        return Ok(kept);
    }
    let join: JoinString = join_string(config)?;
    let name = node_name(config)?;
    health.set("cluster", Err("not joined yet".into()));
    loop {
        match transport::join(&join, &name).await {
            Ok(identity) => {
                identity.save(&path).with_context(|| {
                    format!("the node's identity cannot be kept in {}", path.display())
                })?;
                health.set("cluster", Ok(()));
                tracing::info!(node = %name, "joined the cluster");
                return Ok(identity);
            }
            Err(error) if !matches!(error, JoinError::Transport(_)) => {
                return Err(error).context("the cluster does not take this node");
            }
            Err(error) => {
                tracing::warn!(%error, "no supernode to join yet; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
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
        (join, _) if !join.is_empty() => join.clone(),
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

fn lone(config: &Config, engine: &Engine) -> anyhow::Result<Lone> {
    let registries = Registries::new(config.registries.clone()).context("registries")?;
    let access = Arc::new(Access::new(
        registries.clone(),
        Duration::from_secs(5 * 60),
        Duration::from_secs(60 * 60),
    ));
    let (events_in, mut events) = mpsc::unbounded_channel();
    let feeds = Feeds::new(engine.clone(), registries, Belief::Provisional, events_in);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let FeedEvent::Failed(task, failure) = event {
                tracing::warn!(%task, error = %failure, "the origin failed");
            }
        }
    });
    Ok(Lone::new(engine.clone(), access, feeds))
}

fn hello(config: &Config) -> Hello {
    let address = config.peers.address.unwrap_or(config.peers.listen);
    Hello {
        address: address.to_string(),
        zone: config.peers.zone.clone(),
        rack: config.peers.rack.clone(),
        upload_slots: config.peers.upload_slots,
        upload_rate: per_second(config.peers.upload_limit),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// A supernode or peer that died is noticed within seconds, so that its transfers go elsewhere.
fn alert(limits: Limits) -> Limits {
    Limits {
        idle_timeout: Duration::from_secs(5),
        keep_alive: Duration::from_secs(1),
        ..limits
    }
}

/// A rate as the engine takes it: 0 means no limit.
fn per_second(rate: Rate) -> u64 {
    rate.limit().map_or(0, std::num::NonZeroU64::get)
}

/// Shows whether a supernode is connected.
fn show_link(metrics: &Metrics, link: &Link) {
    let help = "1 while a supernode is connected, else 0";
    let connected = metrics.gauge("supernode_connected", help);
    let mut connection = link.connection();
    tokio::spawn(async move {
        loop {
            connected.set(i64::from(connection.borrow_and_update().connection.is_some()));
            if connection.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn sweep(engine: Engine) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        engine.sweep();
    }
}
