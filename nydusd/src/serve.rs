//! The life of a process that serves mounts: until the last is unmounted, or it is asked to end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::log_file::LogFile;
use crate::metrics;
use crate::node::{Node, Order};
use crate::restore;
use crate::socket;

/// How often it is seen whether mounts are left.
const LOOK: Duration = Duration::from_millis(200);

/// So long mounts that are in use when the process is asked to end are served on.
const GRACE: Duration = Duration::from_secs(20);

/// Threads that block have so long to return once everything else has ended.
const LEAVE_BEHIND: Duration = Duration::from_secs(1);

/// Serves `node`'s mounts and those that another process left on its cache, and answers on the socket
/// of the cache in `folder`, and for metrics and health at the address `listen`; calls `ready` once it
/// can be asked, and asked to end: it may say which log is to be kept short. Ends with the last mount,
/// or, if mounts are to outlive the process, when it is asked to.
///
/// # Errors
/// If the socket or signals cannot be had, `ready` fails, or something is in use to the end.
pub fn serve(
    node: Node,
    folder: &Path,
    listen: Option<SocketAddr>,
    first: Option<Order>,
    ready: impl FnOnce() -> anyhow::Result<Option<LogFile>>,
) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (node, path) = (Arc::new(node), api::socket(folder));
    let done = runtime.block_on(async {
        let mut signals = Signals::new()?;
        if let Some(first) = first {
            mount_first(&node, first, &mut signals).await?;
        }
        let stop = CancellationToken::new();
        let (pages, health) = metrics::status(&node);
        if let Some(address) = listen {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
            tracing::info!(address = %listener.local_addr()?, "metrics and health");
            tokio::spawn(pages.clone().serve(listener, stop.clone()));
        }
        let answering = api::serve(socket::listen(&path)?, Arc::clone(&node), pages, stop.clone());
        let answering = tokio::spawn(answering);
        let asked = tokio::select! {
            () = restore::restoring(&node, stop.clone()) => false,
            () = signals.come() => true,
        };
        if !asked {
            health.set(metrics::CONDITION, Ok(()));
            if let Some(log) = ready()? {
                tokio::spawn(log.kept_short());
            }
        }
        until_done(&node, signals, asked).await;
        stop.cancel();
        answering.await?;
        let _ = std::fs::remove_file(&path);
        Ok(())
    });
    if done.is_err() {
        // Nobody else would: without us they are dead.
        node.take_all_away();
    }
    runtime.shutdown_timeout(LEAVE_BEHIND);
    let late = node.tell().into_iter().filter(|told| told.failed.is_none());
    let late: Vec<_> = late.map(|told| told.at.display().to_string()).collect();
    match done {
        Ok(()) if !late.is_empty() => {
            anyhow::bail!("still in use after {GRACE:?}: {}", late.join(", "))
        }
        done => done,
    }
}

/// Mounts what the process was started for.
async fn mount_first(node: &Arc<Node>, order: Order, signals: &mut Signals) -> anyhow::Result<()> {
    let mounting = Arc::clone(node);
    let mounting = tokio::task::spawn_blocking(move || mounting.mount(&order));
    tokio::select! {
        done = mounting => done?,
        () = signals.come() => anyhow::bail!("asked to end before the image was mounted"),
    }
}

/// Until nothing is mounted any more; with `asked`, it was asked to end already.
async fn until_done(node: &Node, signals: Signals, asked: bool) {
    let stays = || usize::from(node.is_lasting() && !node.is_ending());
    // Who is let in meanwhile is waited for.
    let left = || match node.sweep().saturating_add(stays()) {
        0 => usize::from(!node.shut()),
        left => left,
    };
    let end = || {
        if node.is_lasting() {
            telemetry::lifecycle::stopping();
        }
        node.take_all_away();
    };
    let asked = async move {
        if !asked {
            std::future::pending::<()>().await;
        }
    };
    until_gone(left, end, signals, asked).await;
}

/// The signals that ask a process to end, and one that does not: a terminal that goes away, or a
/// habit of whoever changed a configuration, takes no mounts away.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _hangup: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when one that asks has come.
    async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Until `left` says that nothing is mounted any more, or those that are in use have had their time
/// after a signal, or `end`, which ask for it once.
pub(crate) async fn until_gone(
    left: impl Fn() -> usize,
    take_all_away: impl Fn(),
    mut signals: Signals,
    end: impl Future<Output = ()>,
) {
    let (mut asked, mut end): (Option<Instant>, _) = (None, std::pin::pin!(end));
    while left() > 0 && asked.is_none_or(|at| at.elapsed() < GRACE) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => continue,
            () = signals.come() => {}
            () = end.as_mut(), if asked.is_none() => {}
        }
        if asked.replace(Instant::now()).is_none() {
            tracing::info!("asked to end: unmounting; what is in use is served for a while");
            take_all_away();
        }
    }
}
