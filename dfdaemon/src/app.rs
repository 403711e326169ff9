//! The parts of a node, made in the order of their dependence.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use content::Verifier;
use peer::feed::{Belief, FeedEvent, Feeds};
use peer::limits::Limiter;
use peer::{Access, Engine, Upkeep, upkeep};
use registry::Registries;
use store::Store;
use telemetry::health::Health;
use telemetry::lifecycle::Lifecycle;
use telemetry::metrics::Metrics;
use telemetry::units::Rate;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use web::status::Status;
use wire::control::Hello;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::link::{Driver, Link, Parts};
use crate::local;
use crate::lone::Lone;
use crate::mirror::Mirror;
use crate::search::Search;

/// Runs a node until it is told to stop.
///
/// # Errors
/// If a part cannot be made: an address in use, a store that is another's, no way into the cluster.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let health = Health::awaiting(["mirror", upkeep::CONDITION]);
    let metrics = Metrics::new("dfdaemon", env!("CARGO_PKG_VERSION"));
    let counters = peer::Metrics::default();
    metrics.register(|registry| counters.register(registry));
    let metrics = Arc::new(metrics);
    serve_admin(&config, &lifecycle, Arc::clone(&metrics), &health).await?;

    let (link, ends) = Link::new();
    show_link(&metrics, &link);
    let nobody = Verifier::new(Vec::new());
    let engine = Engine::new(open_store(&config)?, nobody, Arc::new(link.clone()), counters);
    let (lone, feeds) = lone(&config, &engine)?;
    let upkeep = Upkeep::new(engine.clone(), feeds, config.store.clone(), health.clone(), &metrics);
    tokio::spawn(upkeep.run());
    let search = Search {
        engine: engine.clone(),
        endpoint: Arc::default(),
        download: Arc::new(Limiter::new(per_second(config.peers.download_limit))),
        tickets: Arc::default(),
        lone: Arc::new(lone),
        address: hello(&config).address,
        liars: Arc::default(),
    };
    let gateway = Arc::new(Gateway::new(link.clone(), search.clone()));

    let (member, joined) = oneshot::channel();
    let cluster = Cluster::new(&config, &engine, &search, link)?;
    lifecycle.spawn("cluster", needed(lifecycle.token(), cluster.join(member)));
    let parts = Parts {
        download: Arc::clone(&search.download),
        hello: hello(&config),
        engine: engine.clone(),
        search,
    };
    tokio::spawn(Driver::new(ends, parts).run(joined));

    serve_clients(&config, &lifecycle, gateway, &metrics).await?;
    health.set("mirror", Ok(()));
    tracing::info!(mirror = %config.mirror.listen, peers = %config.peers.listen, "ready");
    lifecycle.ready();
    tokio::spawn(engine.clone().drain(lifecycle.token()));
    let stopped = lifecycle.run_until_stopped().await;
    if let Err(error) = engine.store().flush() {
        tracing::warn!(%error, "the store's index was not written to the end");
    }
    Ok(stopped?)
}

/// Runs a part that the process cannot do without, until the process is to stop.
async fn needed(token: CancellationToken, part: impl Future<Output = anyhow::Result<()>>) {
    if let Some(Err(error)) = token.run_until_cancelled(part).await {
        tracing::error!(error = format!("{error:#}"), "stopping");
        token.cancel();
    }
}

async fn serve_admin(
    config: &Config,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    health: &Health,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.admin.listen)
        .await
        .with_context(|| format!("admin.listen: cannot listen on {}", config.admin.listen))?;
    let status = Status::new(metrics, health.clone());
    lifecycle.spawn("admin", status.serve(listener, lifecycle.token()));
    Ok(())
}

/// Opens the two doors for this node's own programs: the mirror and the socket.
async fn serve_clients(
    config: &Config,
    lifecycle: &Lifecycle,
    gateway: Arc<Gateway>,
    metrics: &Metrics,
) -> anyhow::Result<()> {
    let socket = local::listen(&config.local.socket).await?;
    let local = local::routes(Arc::clone(&gateway));
    tokio::spawn(async move { axum::serve(socket, local).await });
    let listener = TcpListener::bind(config.mirror.listen)
        .await
        .with_context(|| format!("mirror.listen: cannot listen on {}", config.mirror.listen))?;
    let token = lifecycle.token();
    let mirror = Mirror::new(gateway, config.registries.default.clone(), token);
    let help =
        "Bytes of warm blobs that the kernel sent to clients straight from the store's files";
    let from_files = metrics.counter("mirror_from_files_bytes", help);
    lifecycle.spawn("mirror", mirror.serve(listener, from_files));
    Ok(())
}

pub(crate) fn open_store(config: &Config) -> anyhow::Result<Arc<Store>> {
    let options = config.store.store(config.state_dir.join("store"));
    let store = Store::open(options)
        .with_context(|| format!("the store in {} cannot be opened", config.state_dir.display()))?;
    Ok(Arc::new(store))
}

/// The node on its own, and its streams from the origin.
fn lone(config: &Config, engine: &Engine) -> anyhow::Result<(Lone, Feeds)> {
    let registries = Registries::new(config.registries.clone()).context("registries")?;
    let access = Arc::new(Access::new(
        registries.clone(),
        Duration::from_secs(5 * 60),
        Duration::from_secs(60 * 60),
    ));
    let (events_in, mut events) = mpsc::unbounded_channel();
    let feeds = Feeds::new(engine.clone(), registries, Belief::Provisional, events_in);
    let asked = Arc::clone(&access);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                FeedEvent::Piece(..) => {}
                FeedEvent::Denied(origin) => asked.denied(&origin.repository, &origin.caller),
                FeedEvent::Failed(task, failure) => {
                    tracing::warn!(%task, error = %failure, "the origin failed");
                }
            }
        }
    });
    Ok((Lone::new(engine.clone(), access, feeds.clone()), feeds))
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

/// A rate as the engine takes it: 0 means no limit.
pub(crate) fn per_second(rate: Rate) -> u64 {
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
