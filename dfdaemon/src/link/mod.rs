//! The link to the supernode: one connection, kept up; questions over it, and the control stream.
//!
//! `Link` is the handle that the rest of the node has; `driver` keeps the connection;
//! `session` is the conversation on one connection; `lease` carries one lease out.

mod driver;
mod lease;
mod session;

use std::sync::Arc;
use std::time::Duration;

use content::TaskId;
use peer::{LiveTask, Plan, Want};
use prost::Message;
use tokio::sync::{mpsc, watch};
use transport::{Connection, TransportError};
use wire::request::{Asks, Request};

pub use driver::{Driver, Parts};

/// The supernode answers a question within this time, or the node helps itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(24);

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
    Wanted(TaskId, Option<Want>),
}

/// The handle to the link. Clones share it.
#[derive(Clone, Debug)]
pub struct Link {
    told: mpsc::UnboundedSender<Told>,
    connection: watch::Receiver<Option<Connection>>,
}

/// The ends of a link that its driver holds.
#[derive(Debug)]
pub struct LinkEnds {
    told: mpsc::UnboundedReceiver<Told>,
    connection: watch::Sender<Option<Connection>>,
}

impl Link {
    /// A link, and what its [`Driver`] needs.
    #[must_use]
    pub fn new() -> (Self, LinkEnds) {
        let (told_in, told) = mpsc::unbounded_channel();
        let (connection_in, connection) = watch::channel(None);
        let link = Self {
            told: told_in,
            connection,
        };
        let ends = LinkEnds {
            told,
            connection: connection_in,
        };
        (link, ends)
    }

    /// Asks the supernode something.
    ///
    /// # Errors
    /// If there is none, or it does not answer.
    pub async fn ask<M: Message + Default>(&self, id: &str, asks: Asks) -> Result<M, LinkError> {
        let connection = self.connection.borrow().clone().ok_or(LinkError::Away)?;
        let request = Request {
            request_id: id.to_owned(),
            asks: Some(asks),
        };
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

    /// Whether a supernode is connected, now and as it changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.connection.clone()
    }
}

impl Plan for Link {
    fn wanted(&self, task: &Arc<LiveTask>, want: Option<Want>) {
        // Nobody listens only when the process ends.
        let _ = self.told.send(Told::Wanted(task.id(), want));
    }
}
