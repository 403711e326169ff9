//! The parts of a supernode, made in the order of their dependence.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use content::{Attestor, PieceSet, TaskId};
use peer::feed::{Belief, FeedEvent, Feeds};
use peer::serve::Uploader;
use peer::{Access, Engine, LiveTask, Plan, Slots, Upkeep, upkeep};
use registry::Registries;
use schedule::{Event, NodeFacts, NodeId};
use store::Store;
use telemetry::health::Health;
use telemetry::lifecycle::Lifecycle;
use telemetry::metrics::Metrics;
use telemetry::units::Rate;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use transport::{Authority, Endpoint, JoinString, Limits};
use web::status::Status;

use crate::answer::Answers;
use crate::config::Config;
use crate::counters::Counters;
use crate::door::Door;
use crate::swarm::Swarm;

/// Grants that have ended are forgotten so often.
const FORGET_EVERY: Duration = Duration::from_secs(10 * 60);

/// Runs a supernode until it is told to stop.
///
/// # Errors
/// If a part cannot be made: an address in use, a store that is another's, no cluster identity.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let health = Health::awaiting(["nodes", upkeep::CONDITION]);
    let metrics = Metrics::new("supernode", env!("CARGO_PKG_VERSION"));
    let counters = peer::Metrics::default();
    metrics.register(|registry| counters.register(registry));
    let heard = Counters::new(&metrics);
    let metrics = Arc::new(metrics);
    serve_http(&config, &lifecycle, Arc::clone(&metrics), &health).await?;

    let authority = Arc::new(authority(&config)?);
    let (plan, losses) = Losses::new();
    let engine = cache(&config, &authority, plan, counters)?;
    let registries = Registries::new(config.registries.clone()).context("registries")?;
    let (events_in, events) = mpsc::unbounded_channel();
    let belief = Belief::Attest(Attestor::new(authority.signer()));
    let feeds = Feeds::new(engine.clone(), registries.clone(), belief, events_in);
    let swarm = Swarm::new(
        engine.clone(),
        feeds.clone(),
        authority.signer(),
        config.access.ticket,
        cache_facts(&config),
        heard,
    );
    tokio::spawn(swarm.clone().run());
    let upkeep =
        Upkeep::new(engine.clone(), feeds.clone(), config.store.clone(), health.clone(), &metrics);
    tokio::spawn(upkeep.run());
    tokio::spawn(show_swarm(metrics, swarm.clone()));
    tokio::spawn(hear_losses(swarm.clone(), losses));
    tokio::spawn(forget_grants(swarm.clone()));

    let access = Access::new(registries, config.access.readable, config.access.holds);
    let access = Arc::new(access);
    tokio::spawn(hear_origin(swarm.clone(), events, engine.clone(), Arc::clone(&access)));
    let cache = engine.clone();
    let answers = Answers { access, engine, feeds, swarm };
    open_door(&config, authority, answers)?;
    health.set("nodes", Ok(()));
    tracing::info!(nodes = %config.nodes.listen, http = %config.http.listen, "ready");
    lifecycle.ready();
    let stopped = lifecycle.run_until_stopped().await;
    if let Err(error) = cache.store().flush() {
        tracing::warn!(%error, "the store's index was not written to the end");
    }
    Ok(stopped?)
}

/// The blob cache: the same engine as a node's, which nobody reads in order.
fn cache(
    config: &Config,
    authority: &Authority,
    plan: Losses,
    counters: peer::Metrics,
) -> anyhow::Result<Engine> {
    let options = config.store.store(config.state_dir.join("store"));
    let store = Store::open(options)
        .with_context(|| format!("the store in {} cannot be opened", config.state_dir.display()))?;
    Ok(Engine::new(Arc::new(store), authority.verifier(), Arc::new(plan), counters))
}

/// Lets nodes in.
fn open_door(config: &Config, authority: Arc<Authority>, answers: Answers) -> anyhow::Result<()> {
    let limits = Limits {
        // A node that died is noticed within seconds, so that its transfers go elsewhere.
        idle_timeout: Duration::from_secs(5),
        keep_alive: Duration::from_secs(1),
        max_connections: config.nodes.max_connections,
        max_connections_per_peer: config.nodes.max_connections_per_node.max(1),
        max_streams: config.nodes.max_streams.max(1),
        ..Limits::supernode()
    };
    let listen = config.nodes.listen;
    let endpoint = Endpoint::bind_supernode(listen, Arc::clone(&authority), &config.name, limits)
        .with_context(|| format!("nodes.listen: cannot listen on {listen}"))?;
    let uploader = Uploader::new(
        answers.engine.clone(),
        authority.verifier(),
        Slots::new(config.nodes.upload_slots, config.nodes.upload_slots_per_node),
        per_second(config.nodes.upload_limit),
    );
    let door = Door {
        swarm: answers.swarm.clone(),
        uploader: Arc::new(uploader),
        answers: Arc::new(answers),
        authority,
    };
    tokio::spawn(door.run(endpoint));
    Ok(())
}

/// The string with which nodes join; the cluster is made if there is none yet.
///
/// # Errors
/// If the cluster's identity cannot be read or made, or no address is configured.
pub fn join_string(config: &Config) -> anyhow::Result<JoinString> {
    let addresses = addresses(config);
    anyhow::ensure!(
        !addresses.is_empty(),
        "set nodes.advertise to the host and port at which nodes reach this supernode"
    );
    Ok(authority(config)?.join_string(&addresses))
}

/// How nodes reach this supernode: as configured, or where it listens.
fn addresses(config: &Config) -> Vec<String> {
    let listen = config.nodes.listen;
    match &config.nodes.advertise {
        advertised if !advertised.is_empty() => advertised.clone(),
        _ if listen.ip().is_unspecified() => Vec::new(),
        _ => vec![listen.to_string()],
    }
}

fn authority(config: &Config) -> anyhow::Result<Authority> {
    let path = config.state_dir.join("cluster.json");
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("cannot make {}", config.state_dir.display()))?;
    let authority = Authority::load_or_create(&path)
        .with_context(|| format!("the cluster's identity in {}", path.display()))?;
    authority.set_supernodes(addresses(config));
    Ok(authority)
}

fn cache_facts(config: &Config) -> NodeFacts {
    let rate = per_second(config.nodes.upload_limit);
    NodeFacts {
        upload_slots: config.nodes.upload_slots,
        upload_bytes_per_s: (rate > 0).then_some(rate),
        zone: String::new(),
        rack: String::new(),
        can_serve: true,
    }
}

async fn serve_http(
    config: &Config,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    health: &Health,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let status = Status::new(metrics, health.clone());
    lifecycle.spawn("http", status.serve(listener, lifecycle.token()));
    Ok(())
}

/// What the origin's streams tell goes to the scheduler.
async fn hear_origin(
    swarm: Swarm,
    mut events: mpsc::UnboundedReceiver<FeedEvent>,
    engine: Engine,
    access: Arc<Access>,
) {
    while let Some(event) = events.recv().await {
        match event {
            FeedEvent::Piece(task, index) => {
                let Some(live) = engine.live(&task) else {
                    continue;
                };
                let mut pieces = content::PieceSet::none(live.layout().pieces());
                pieces.insert(index);
                swarm.apply(Event::Has { node: NodeId::CACHE, task, pieces });
            }
            FeedEvent::Denied(origin) => access.denied(&origin.repository, &origin.caller),
            FeedEvent::Failed(task, failure) => {
                tracing::warn!(%task, error = %failure, "the origin failed");
                swarm.lack(task, &failure);
            }
        }
    }
}

/// The plan of an engine that nobody reads in order: the scheduler decides what comes, and has to
/// hear what goes.
struct Losses(mpsc::UnboundedSender<(TaskId, PieceSet)>);

impl Losses {
    fn new() -> (Self, mpsc::UnboundedReceiver<(TaskId, PieceSet)>) {
        let (lost_in, lost) = mpsc::unbounded_channel();
        (Self(lost_in), lost)
    }
}

impl Plan for Losses {
    fn wanted(&self, _task: &Arc<LiveTask>) {}

    fn serves(&self) -> bool {
        true
    }

    fn lost(&self, task: TaskId, pieces: PieceSet) {
        // Nobody listens only when the process ends.
        let _ = self.0.send((task, pieces));
    }
}

/// What the cache loses is no longer to be had from it.
async fn hear_losses(swarm: Swarm, mut losses: mpsc::UnboundedReceiver<(TaskId, PieceSet)>) {
    while let Some((task, pieces)) = losses.recv().await {
        swarm.apply(Event::Lost { node: NodeId::CACHE, task, pieces });
    }
}

/// A rate as the engine takes it: 0 means no limit.
fn per_second(rate: Rate) -> u64 {
    rate.limit().map_or(0, std::num::NonZeroU64::get)
}

/// Shows what the scheduler knows.
async fn show_swarm(metrics: Arc<Metrics>, swarm: Swarm) {
    let help = "Nodes that are connected and have told all that they hold";
    let nodes = metrics.gauge("nodes_ready", help);
    loop {
        nodes.set(i64::try_from(swarm.ready_nodes()).unwrap_or(i64::MAX));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn forget_grants(swarm: Swarm) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        swarm.forget_grants();
    }
}
