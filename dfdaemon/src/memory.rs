//! What a node knows of its cluster, kept across restarts: leave to fetch, and other nodes. With it a
//! node that starts while the supernode is away still has pieces from its neighbours.
//!
//! Nothing in the file is believed because it is there: tickets are signed, neighbours prove who
//! they are when they are met.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use peer::Engine;
use prost::Message;
use wire::SignedTicket;
use wire::data::KnownPeer;

use crate::tickets::Tickets;

/// What has changed is written so often.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// A longer file is not ours.
const LONGEST: u64 = 64 << 20;

/// The file's content.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, repeated, tag = "1")]
    tickets: Vec<SignedTicket>,
    #[prost(message, repeated, tag = "2")]
    neighbours: Vec<KnownPeer>,
}

/// The memory, and where it is kept.
#[derive(Debug)]
pub(crate) struct Memory {
    file: PathBuf,
    engine: Engine,
    tickets: Arc<Tickets>,
}

impl Memory {
    pub(crate) const fn new(file: PathBuf, engine: Engine, tickets: Arc<Tickets>) -> Self {
        Self { file, engine, tickets }
    }

    /// Remembers what an earlier run wrote. To be called once the cluster's keys are believed.
    pub(crate) fn recall(&self) {
        let kept = match read(&self.file) {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "what was known of the cluster is lost"
                );
                return;
            }
        };
        let verifier = self.engine.verifier();
        for signed in kept.tickets {
            self.tickets.keep(Some(signed), &verifier);
        }
        for neighbour in kept.neighbours.into_iter().rev() {
            self.engine.met(neighbour);
        }
    }

    /// Writes what changes, for ever.
    pub(crate) async fn keep(self) {
        let mut written = Vec::new();
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            let kept = Kept { tickets: self.tickets.all(), neighbours: self.engine.neighbours() };
            let bytes = kept.encode_to_vec();
            if bytes == written {
                continue;
            }
            let file = self.file.clone();
            written.clone_from(&bytes);
            let done = tokio::task::spawn_blocking(move || write(&file, &bytes)).await;
            if let Ok(Err(error)) = done {
                tracing::debug!(%error, "what is known of the cluster cannot be kept");
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Option<Kept>> {
    let told = match std::fs::metadata(file) {
        Ok(told) => told,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(file.display().to_string()),
    };
    anyhow::ensure!(told.len() <= LONGEST, "{} is too long", file.display());
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(Some(Kept::decode(&bytes[..]).with_context(|| file.display().to_string())?))
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(new, file)
}
