//! The life of a process that serves mounts: until the last is unmounted, or it is asked to end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::node::Node;
use crate::socket;

/// How often it is seen whether mounts are left.
const LOOK: Duration = Duration::from_millis(200);

/// So long mounts that are in use when the process is asked to end are served on.
const GRACE: Duration = Duration::from_secs(20);

/// Serves `node`'s mounts, and answers on the socket of its cache in `folder`; calls `ready` once it
/// can be asked, and asked to end.
///
/// # Errors
/// If the socket or signals cannot be had, or `ready` fails.
pub fn serve(
    node: Node,
    folder: &Path,
    ready: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (node, path) = (Arc::new(node), api::socket(folder));
    runtime.block_on(async {
        let signals = Signals::new()?;
        let stop = CancellationToken::new();
        let answering = api::serve(socket::listen(&path)?, Arc::clone(&node), stop.clone());
        let answering = tokio::spawn(answering);
        ready()?;
        until_done(&node, signals).await;
        stop.cancel();
        answering.await?;
        let _ = std::fs::remove_file(&path);
        Ok(())
    })
}

/// Until nothing is mounted any more.
async fn until_done(node: &Node, signals: Signals) {
    until_gone(|| node.sweep(), || node.take_all_away(), signals, std::future::pending()).await;
}

/// The signals that ask a process to end.
pub(crate) struct Signals(Signal, Signal);

impl Signals {
    /// From now on they end nothing by themselves.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }
}

/// Until `left` says that nothing is mounted any more, or those that are in use have had their time
/// after a signal, or `end`, which ask for it once.
pub(crate) async fn until_gone(
    left: impl Fn() -> usize,
    take_all_away: impl Fn(),
    Signals(mut terminate, mut interrupt): Signals,
    end: impl Future<Output = ()>,
) {
    let (mut asked, mut end): (Option<Instant>, _) = (None, std::pin::pin!(end));
    while left() > 0 && asked.is_none_or(|at| at.elapsed() < GRACE) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => continue,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = end.as_mut(), if asked.is_none() => {}
        }
        if asked.replace(Instant::now()).is_none() {
            tracing::info!("asked to end: unmounting; what is in use is served for a while");
            take_all_away();
        }
    }
}
