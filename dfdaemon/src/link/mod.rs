//! The link to the supernode: one connection, kept up; questions over it, and the control stream.
//!
//! `Link` is the handle that the rest of the node has; `driver` keeps the connection;
//! `session` is the conversation on one connection; `lease` carries one lease out; `introduce`
//! tells a supernode of tasks that it does not know.

mod driver;
mod introduce;
mod lease;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use content::{PieceSet, TaskId};
use peer::{LiveTask, Plan};
use prost::Message;
use tokio::sync::{mpsc, watch};
use transport::{Connection, TransportError};
use wire::request::{Asks, Request};

pub use driver::{Driver, Membership, Parts};

/// The supernode answers a question within this time, or the node helps itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(24);

/// A supernode that was just lost, or not yet found, is waited for so long.
const RETURN_WITHIN: Duration = Duration::from_secs(2);

/// Why the supernode gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no supernode now.
    #[error("no supernode answers")]
    Away,
    /// It took too long.
    #[error("the supernode did not answer in time")]
    Timeout,
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// What the rest of the node tells the link.
#[derive(Debug)]
pub(crate) enum Told {
    /// The demand on a task changed.
    Wanted(TaskId),
    /// A search for a task came to its end.
    Searched(TaskId),
    /// Pieces are here no more.
    Lost(TaskId, PieceSet),
    /// The supernode knows the task: it was opened there.
    Introduced(TaskId),
    /// The supernode did not take the task.
    NotTaken(TaskId),
}

/// Whether a supernode is connected.
#[derive(Clone, Debug)]
pub struct State {
    /// The connection, if there is one.
    pub connection: Option<Connection>,
    /// Since when it is so.
    pub since: Instant,
}

impl State {
    fn new(connection: Option<Connection>) -> Self {
        Self { connection, since: Instant::now() }
    }
}

/// The handle to the link. Clones share it.
#[derive(Clone, Debug)]
pub struct Link {
    told: mpsc::UnboundedSender<Told>,
    connection: watch::Receiver<State>,
}

/// The ends of a link that its driver holds.
#[derive(Debug)]
pub struct LinkEnds {
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    connection: watch::Sender<State>,
}

impl Link {
    /// A link, and what its [`Driver`] needs.
    #[must_use]
    pub fn new() -> (Self, LinkEnds) {
        let (told_in, told) = mpsc::unbounded_channel();
        let (connection_in, connection) = watch::channel(State::new(None));
        let tell = told_in.clone();
        let link = Self { told: told_in, connection };
        let ends = LinkEnds { tell, told, connection: connection_in };
        (link, ends)
    }

    /// Asks the supernode something.
    ///
    /// # Errors
    /// If there is none, or it does not answer.
    pub async fn ask<M: Message + Default>(&self, id: &str, asks: Asks) -> Result<M, LinkError> {
        let connection = self.connected().await.ok_or(LinkError::Away)?;
        let request = Request { request_id: id.to_owned(), asks: Some(asks) };
        let conversation = async {
            let mut stream = connection.open(&request).await?;
            stream.finish();
            stream.recv::<M>().await?.ok_or(LinkError::Away)
        };
        match tokio::time::timeout(ANSWER_WITHIN, conversation).await {
            Ok(answered) => answered,
            Err(_) => Err(LinkError::Timeout),
        }
    }

    /// The connection; one that was just lost, or has not been made yet since the start, is waited
    /// for a moment: nodes that turn to the registry at once would be a stampede.
    async fn connected(&self) -> Option<Connection> {
        let mut state = self.connection.clone();
        let until = state.borrow().since + RETURN_WITHIN;
        let waited = tokio::time::timeout_at(until.into(), async {
            loop {
                if let Some(connection) = state.borrow_and_update().connection.clone() {
                    return Some(connection);
                }
                if state.changed().await.is_err() {
                    return None;
                }
            }
        });
        match waited.await {
            Ok(connection) => connection,
            Err(_) => self.connection.borrow().connection.clone(),
        }
    }

    /// A task was opened at the supernode.
    pub fn introduced(&self, task: TaskId) {
        // Nobody listens only when the process ends.
        let _ = self.told.send(Told::Introduced(task));
    }

    /// Whether a supernode is connected, now and as it changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<State> {
        self.connection.clone()
    }
}

impl Plan for Link {
    fn wanted(&self, task: &Arc<LiveTask>) {
        // Nobody listens only when the process ends.
        let _ = self.told.send(Told::Wanted(task.id()));
    }

    fn lost(&self, task: TaskId, pieces: PieceSet) {
        let _ = self.told.send(Told::Lost(task, pieces));
    }
}
