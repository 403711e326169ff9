//! Keeps the connection to a supernode, whichever of them answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use content::TaskId;
use peer::limits::Limiter;
use peer::{Engine, Want};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use transport::{Connection, Endpoint, Expect};
use wire::control::Hello;

use super::introduce::introduce;
use super::lease::{Running, Transfers};
use super::{LinkEnds, State, Told, session};
use crate::search::Search;

/// What the driver works with.
#[derive(Debug)]
pub struct Parts {
    /// The engine whose tasks are fetched.
    pub engine: Engine,
    /// What this node says of itself.
    pub hello: Hello,
    /// How fast it receives at most.
    pub download: Arc<Limiter>,
    /// How pieces are found while no supernode answers.
    pub search: Search,
}

/// What a node has once it has joined a cluster.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The way to others.
    pub endpoint: Endpoint,
    /// Where the supernodes are.
    pub supernodes: Vec<String>,
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
    /// The tasks that the present supernode knows.
    introduced: HashSet<TaskId>,
    /// The tasks that it is being told of.
    introducing: HashSet<TaskId>,
    /// Those of them that it did not take so far.
    not_taken: HashSet<TaskId>,
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
            Arc::clone(&parts.search.endpoint),
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
            introduced: HashSet::new(),
            introducing: HashSet::new(),
            not_taken: HashSet::new(),
        }
    }

    /// Connects once the node has joined, holds the conversation, and connects again. What is
    /// wanted meanwhile is searched for.
    pub async fn run(mut self, mut joined: oneshot::Receiver<Membership>) {
        let member = loop {
            match joined.try_recv() {
                Ok(member) => break member,
                Err(_) => self.meanwhile(tokio::time::sleep(FIRST_PAUSE)).await,
            }
        };
        let mut pause = FIRST_PAUSE;
        loop {
            for address in &member.supernodes {
                let connecting = member.endpoint.connect(address, Expect::Supernode);
                match self.meanwhile(connecting).await {
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
            self.meanwhile(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn converse(&mut self, connection: Connection) {
        let ended = session::hold(self, &connection).await;
        self.ends.connection.send_replace(State::new(None));
        // Nobody sees to any task now: what is wanted is searched for, and the next supernode is told.
        self.introduced.clear();
        self.introducing.clear();
        self.not_taken.clear();
        match ended {
            Ok(()) => tracing::warn!("the supernode has gone; going on without it"),
            Err(error) => {
                tracing::warn!(%error, "the supernode has gone; going on without it");
            }
        }
    }

    /// Does something that needs no supernode's answer; what readers want meanwhile is searched for.
    async fn meanwhile<T>(&mut self, doing: impl Future<Output = T>) -> T {
        tokio::pin!(doing);
        loop {
            self.search();
            tokio::select! {
                done = &mut doing => return done,
                Some(told) = self.ends.told.recv() => { let _ = self.note(&told, None); }
                Some(_) = self.ended.recv() => {}
            }
        }
    }

    /// Sees to it that every wanted task that no supernode sees to is searched for. A supernode that
    /// is just being told of a task is given the time to take it: while it answers, only it reads the
    /// origin.
    pub(super) fn search(&mut self) {
        let seen_to = |task: &TaskId| {
            let being_told = self.introducing.contains(task) && !self.not_taken.contains(task);
            self.introduced.contains(task) || being_told
        };
        for task in self.wants.keys().filter(|task| !seen_to(task)) {
            if !self.searches.contains_key(task)
                && let Some(live) = self.parts.engine.live(task)
            {
                let (task, tell) = (*task, self.ends.tell.clone());
                let search = self.parts.search.clone().run(live);
                let running = tokio::spawn(async move {
                    search.await;
                    // Nobody listens only when the process ends.
                    let _ = tell.send(Told::Searched(task));
                });
                self.searches.insert(task, running.abort_handle());
            }
        }
    }

    /// A supernode sees to the task: it knows better where pieces are than we do.
    fn stop_search(&mut self, task: TaskId) {
        if let Some(search) = self.searches.remove(&task) {
            search.abort();
        }
        let lone = Arc::clone(&self.parts.search.lone);
        tokio::spawn(async move { lone.pause(&task).await });
    }

    /// Tells the supernode behind `connection` of a task, if it does not know it yet.
    pub(super) fn introduce(&mut self, connection: &Connection, task: TaskId) {
        if self.introduced.contains(&task) || !self.introducing.insert(task) {
            return;
        }
        let (connection, engine) = (connection.clone(), self.parts.engine.clone());
        let tickets = Arc::clone(&self.parts.search.tickets);
        let origins = self.parts.search.lone.origins(&task);
        let tell = self.ends.tell.clone();
        tokio::spawn(async move {
            let taken = introduce(connection, engine, &tickets, task, origins).await;
            // Nobody listens only when the process ends.
            let _ = tell.send(if taken { Told::Introduced(task) } else { Told::NotTaken(task) });
        });
    }

    /// The supernode does not know that this node may have a task: it is told again.
    pub(super) fn reopen(&mut self, connection: &Connection, task: TaskId) {
        self.introduced.remove(&task);
        if self.wants.contains_key(&task) {
            self.introduce(connection, task);
        }
    }

    /// The demand on a task changed: what it is now counts, for a task that failed and began again
    /// has readers of both on their way.
    fn wanted(
        &mut self,
        task: TaskId,
        connection: Option<&Connection>,
    ) -> Option<(TaskId, Option<Want>)> {
        let want = self.parts.engine.live(&task).and_then(|live| live.want());
        match want {
            Some(want) => self.wants.insert(task, want),
            None => {
                self.not_taken.remove(&task);
                self.wants.remove(&task)
            }
        };
        if self.introduced.contains(&task) {
            return Some((task, want));
        }
        if let Some(connection) = connection.filter(|_| want.is_some()) {
            self.introduce(connection, task);
        }
        None
    }

    /// Takes in what the rest of the node says; with a supernode at hand, what it is to be told.
    pub(super) fn note(
        &mut self,
        told: &Told,
        connection: Option<&Connection>,
    ) -> Option<(TaskId, Option<Want>)> {
        match told {
            Told::Wanted(task) => self.wanted(*task, connection),
            Told::Searched(task) => {
                self.searches.remove(task);
                None
            }
            // Only who is told what we hold has to hear of it; the session says it.
            Told::Lost(..) => None,
            Told::Introduced(task) => {
                connection?;
                self.introducing.remove(task);
                self.not_taken.remove(task);
                self.introduced.insert(*task);
                self.stop_search(*task);
                let want = self.wants.get(task)?;
                Some((*task, Some(*want)))
            }
            Told::NotTaken(task) => {
                self.introducing.remove(task);
                self.not_taken.insert(*task);
                if let Some(connection) = connection.filter(|_| self.wants.contains_key(task)) {
                    self.introduce(connection, *task);
                }
                None
            }
        }
    }
}
