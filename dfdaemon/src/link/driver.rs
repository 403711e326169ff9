//! Keeps the connection to a supernode, whichever of them answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use content::TaskId;
use peer::feed::Need;
use peer::limits::Limiter;
use peer::{Engine, Want};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use transport::{Connection, Endpoint, Expect};
use wire::control::Hello;

use super::lease::{Running, Transfers};
use super::{LinkEnds, Told, session};
use crate::search::Search;

/// What the driver works with.
#[derive(Debug)]
pub struct Parts {
    /// The engine whose tasks are fetched.
    pub engine: Engine,
    /// The way to others.
    pub endpoint: Endpoint,
    /// Where the supernodes are.
    pub supernodes: Vec<String>,
    /// What this node says of itself.
    pub hello: Hello,
    /// How fast it receives at most.
    pub download: Arc<Limiter>,
    /// How pieces are found while no supernode answers.
    pub search: Search,
}

/// Keeps the link; [`Driver::run`] never ends.
#[derive(Debug)]
pub struct Driver {
    pub(super) parts: Parts,
    pub(super) ends: LinkEnds,
    /// What is wanted now, to be told to the next supernode too.
    pub(super) wants: HashMap<TaskId, Want>,
    pub(super) transfers: Transfers,
    pub(super) ended: mpsc::UnboundedReceiver<Running>,
    searches: HashMap<TaskId, AbortHandle>,
}

/// The pause after a failed attempt, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

impl Driver {
    /// A driver for the link whose ends these are.
    #[must_use]
    pub fn new(ends: LinkEnds, parts: Parts) -> Self {
        let (done, ended) = mpsc::unbounded_channel();
        let transfers = Transfers::new(
            parts.engine.clone(),
            parts.endpoint.clone(),
            Arc::clone(&parts.download),
            done,
        );
        Self {
            parts,
            ends,
            wants: HashMap::new(),
            transfers,
            ended,
            searches: HashMap::new(),
        }
    }

    /// Connects, holds the conversation, and connects again.
    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            for address in self.parts.supernodes.clone() {
                match self.parts.endpoint.connect(&address, Expect::Supernode).await {
                    Ok(connection) => {
                        tracing::info!(supernode = %address, "connected");
                        self.converse(connection).await;
                        pause = FIRST_PAUSE;
                    }
                    Err(error) => {
                        tracing::debug!(supernode = %address, %error, "not reached");
                    }
                }
            }
            self.idle(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn converse(&mut self, connection: Connection) {
        self.stop_searches();
        let ended = session::hold(self, &connection).await;
        self.ends.connection.send_replace(None);
        match ended {
            Ok(()) => tracing::warn!("the supernode has gone; going on without it"),
            Err(error) => {
                tracing::warn!(%error, "the supernode has gone; going on without it");
            }
        }
    }

    /// Waits, and listens meanwhile.
    async fn idle(&mut self, pause: Duration) {
        let until = tokio::time::sleep(pause);
        tokio::pin!(until);
        loop {
            self.search();
            tokio::select! {
                () = &mut until => return,
                told = self.ends.told.recv() => match told {
                    Some(told) => { self.note(&told); }
                    None => return,
                },
                Some(_) = self.ended.recv() => {}
            }
        }
    }

    /// Sees to it that every wanted task is searched for.
    fn search(&mut self) {
        self.searches.retain(|_, search| !search.is_finished());
        for task in self.wants.keys() {
            if !self.searches.contains_key(task)
                && let Some(live) = self.parts.engine.live(task)
            {
                let running = tokio::spawn(self.parts.search.clone().run(live));
                self.searches.insert(*task, running.abort_handle());
            }
        }
    }

    /// A supernode answers: it knows better where pieces are than we do.
    fn stop_searches(&mut self) {
        for (task, search) in self.searches.drain() {
            search.abort();
            self.parts.search.lone.need(task, Need::default());
        }
    }

    /// Remembers what is wanted.
    pub(super) fn note(&mut self, told: &Told) {
        match told {
            Told::Wanted(task, Some(want)) => {
                self.wants.insert(*task, *want);
            }
            Told::Wanted(task, None) => {
                self.wants.remove(task);
            }
        }
    }
}
