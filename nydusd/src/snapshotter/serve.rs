//! The life of a daemon that the snapshotter started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::answer::answer;
use super::daemon::Daemon;
use crate::log_file::LogFile;
use crate::prefetch::first;
use crate::serve::{Signals, until_gone};
use crate::socket;

/// The one image of a dedicated daemon.
#[derive(Clone, Debug)]
pub struct Only {
    /// Its bootstrap.
    pub bootstrap: PathBuf,
    /// Its configuration.
    pub config: Said,
    /// A file with paths in it that are fetched first, one a line.
    pub first: Option<PathBuf>,
}

/// A configuration.
#[derive(Clone, Debug)]
pub enum Said {
    /// What is in this file.
    File(PathBuf),
    /// This text.
    Text(String),
}

impl Said {
    fn text(self) -> anyhow::Result<String> {
        match self {
            Self::File(path) => {
                let said = std::fs::read_to_string(&path);
                said.with_context(|| format!("{} cannot be read", path.display()))
            }
            Self::Text(text) => Ok(text),
        }
    }
}

/// Serves until it is told to end, or the only image is unmounted. The socket `api` is there before
/// anything is mounted, and as long as this process: a connection to it ends with the daemon.
///
/// # Errors
/// If the socket or signals cannot be had, or the only image cannot be mounted.
pub fn serve(
    daemon: Daemon,
    api: Option<&Path>,
    only: Option<Only>,
    log: Option<LogFile>,
) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let daemon = Arc::new(daemon);
    runtime.block_on(async {
        let signals = Signals::new()?;
        let stop = CancellationToken::new();
        let answering = api.map(|api| listen(api, &daemon, stop.clone())).transpose()?;
        if let Some(log) = log {
            tokio::spawn(log.kept_short());
        }
        let dedicated = only.is_some();
        let began = begin(&daemon, only).await;
        if began.is_ok() {
            let left = || match daemon.sweep() {
                // A shared daemon waits for what it will be told to mount.
                0 if !dedicated || daemon.options().upgrade => {
                    usize::from(!daemon.end.is_cancelled())
                }
                left => left,
            };
            let away = || {
                daemon.end.cancel();
                daemon.take_all_away();
            };
            until_gone(left, away, signals, daemon.end.cancelled()).await;
        } else {
            daemon.take_all_away();
        }
        stop.cancel();
        if let Some((api, answering)) = api.zip(answering) {
            answering.await?;
            let _ = std::fs::remove_file(api);
        }
        began
    })
}

/// Answers on a socket until `stop`.
fn listen(
    api: &Path,
    daemon: &Arc<Daemon>,
    stop: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = socket::listen(api);
    let listener = listener.with_context(|| format!("{} cannot be made", api.display()))?;
    let daemon = Arc::clone(daemon);
    let answering = socket::serve(listener, stop, move |asked| answer(asked, Arc::clone(&daemon)));
    Ok(tokio::spawn(answering))
}

/// Mounts the only image, if there is one, and starts.
async fn begin(daemon: &Arc<Daemon>, only: Option<Only>) -> anyhow::Result<()> {
    if daemon.options().upgrade {
        tracing::warn!("an upgrade hands descriptors over, which this daemon does not take");
        return Ok(());
    }
    if let Some(Only { bootstrap, config, first }) = only {
        let daemon = Arc::clone(daemon);
        let mounted = tokio::task::spawn_blocking(move || {
            let first = first.map(|list| listed(&list)).unwrap_or_default();
            daemon.mount_only(&bootstrap, &config.text()?, first)
        });
        mounted.await??;
    }
    daemon.ready();
    daemon.start()?;
    Ok(())
}

/// The paths in a file; none if it cannot be read: what is not fetched first is fetched when it is read.
fn listed(list: &Path) -> Vec<Vec<u8>> {
    first::listed(list).unwrap_or_else(|error| {
        tracing::warn!(list = %list.display(), %error, "there is no list of what is to be fetched first");
        Vec::new()
    })
}
