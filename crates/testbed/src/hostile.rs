//! A node of the cluster that means no good: its certificate is true, and what it says is not.
//!
//! It speaks the wire's own messages through `transport`, so that the processes under test meet a
//! real member of their cluster and not a broken program. [`Manner`] says how it lies when it is
//! asked for pieces.

mod asking;
mod joining;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use content::{Digest, PieceSet, Verifier};
use tokio::task::JoinHandle;
use transport::{Connection, Endpoint, Expect, Identity, Limits, SendHalf, Stream};
use wire::control::{FromNode, FromSupernode, Has, Lease, NodeSays, SupernodeSays, Told};
use wire::data::{Fetch, PieceHeader, Verdict};
use wire::request::{Asks, Control, Open, Opened, Place, Request};
use wire::{SignedTicket, Statement};

use crate::cluster::Supernode;
use crate::liar::{self, Liar};

pub use self::asking::Got;
pub use crate::liar::Manner;

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that has joined, and lies.
#[derive(Debug)]
pub struct Hostile {
    endpoint: Endpoint,
    supernode: Connection,
    control: SendHalf,
    heard: Arc<Mutex<Vec<SupernodeSays>>>,
    /// Ends with the conversation.
    hearing: JoinHandle<()>,
    deaf: Arc<AtomicBool>,
    liar: Liar,
}

impl Hostile {
    /// Joins `supernode`'s cluster as the node `name`, and says hello. Who asks it for pieces of
    /// `bytes` is answered in this manner.
    ///
    /// # Errors
    /// If the supernode does not take it.
    pub async fn join(
        supernode: &Supernode,
        name: &str,
        manner: Manner,
        bytes: Bytes,
    ) -> anyhow::Result<Self> {
        let identity = transport::join(&supernode.join().parse()?, name).await?;
        let endpoint = bind(identity)?;
        let liar = Liar::new(manner, bytes);
        tokio::spawn(liar::serve(endpoint.clone(), liar.clone()));
        let connection = joining::reach(&endpoint, supernode).await?;
        let heard = Arc::default();
        let deaf = Arc::default();
        let (control, hearing) = joining::converse(&connection, &endpoint, &heard, &deaf).await?;
        Ok(Self { endpoint, supernode: connection, control, heard, hearing, deaf, liar })
    }

    /// Says hello again, to a supernode that was started anew.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn rejoin(&mut self, supernode: &Supernode) -> anyhow::Result<()> {
        self.supernode.close("the supernode was started anew");
        self.supernode = joining::reach(&self.endpoint, supernode).await?;
        let conversation =
            joining::converse(&self.supernode, &self.endpoint, &self.heard, &self.deaf).await?;
        (self.control, self.hearing) = conversation;
        Ok(())
    }

    /// Where others reach it.
    #[must_use]
    pub fn address(&self) -> String {
        self.endpoint.local_addr().to_string()
    }

    /// The keys of its cluster.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.endpoint.identity().verifier()
    }

    /// How often it was asked for something, whatever it was.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.liar.asked()
    }

    /// The leases that the supernode gave it.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        let lease = |says: &SupernodeSays| match says {
            SupernodeSays::Lease(lease) => Some(lease.clone()),
            _ => None,
        };
        lock(&self.heard).iter().filter_map(lease).collect()
    }

    /// Opens a blob at the supernode as an honest node does.
    ///
    /// # Errors
    /// If the supernode does not answer, or refuses.
    pub async fn open(
        &self,
        registry: &str,
        repository: &str,
        digest: Digest,
    ) -> anyhow::Result<Opened> {
        let request = ask(Asks::Open(Open {
            place: Some(Place {
                registry: registry.to_owned(),
                repository: repository.to_owned(),
                authorization: None,
            }),
            digest: digest.to_string(),
            priority: 1,
            only_facts: false,
        }));
        let mut stream = self.supernode.open(&request).await?;
        stream.finish();
        let opened: Opened = stream.recv().await?.context("no answer")?;
        ensure!(opened.failure.is_none(), "{:?}", opened.failure);
        Ok(opened)
    }

    /// Claims all pieces of its bytes, with what the supernode once signed of them.
    ///
    /// # Errors
    /// If the supernode is gone.
    pub async fn claim(&mut self, statements: Vec<Statement>) -> anyhow::Result<()> {
        let layout = self.liar.layout()?;
        self.say(NodeSays::Has(Has {
            task: self.liar.task(),
            length: layout.length(),
            piece_size: layout.piece_size().bytes(),
            pieces: PieceSet::all(layout.pieces()).to_bytes(),
            statements,
        }))
        .await
    }

    /// Has `supernode` lose its memory, and is the first to tell it anything: that it has all pieces of
    /// its bytes, with what the supernode once signed of them. Others who had them must be gone.
    ///
    /// # Errors
    /// If the supernode does not come back, or does not take it.
    pub async fn alone_has(
        &mut self,
        supernode: &mut Supernode,
        statements: Vec<Statement>,
    ) -> anyhow::Result<()> {
        supernode.kill()?;
        supernode.forget()?;
        supernode.start().await?;
        self.rejoin(supernode).await?;
        self.claim(statements).await?;
        self.say(NodeSays::Told(Told {})).await?;
        supernode.until_nodes(1).await
    }

    /// Says something on the control stream.
    ///
    /// # Errors
    /// If the supernode is gone, or has ended the conversation.
    pub async fn say(&mut self, says: NodeSays) -> anyhow::Result<()> {
        Ok(self.control.send(&FromNode { says: Some(says) }).await?)
    }

    /// Says something for which the supernode ends the conversation, and waits until it has.
    ///
    /// # Errors
    /// If it goes on.
    pub async fn offend(&mut self, says: NodeSays) -> anyhow::Result<()> {
        self.say(says).await?;
        let ended = tokio::time::timeout(PATIENCE, &mut self.hearing).await;
        Ok(ended.context("the supernode goes on with the conversation")??)
    }

    /// One more connection to the supernode, from one more endpoint of the same name. The
    /// connection lasts as long as the endpoint.
    ///
    /// # Errors
    /// If the supernode does not take it.
    pub async fn connect_again(&self) -> anyhow::Result<(Endpoint, Connection)> {
        let endpoint = bind(self.endpoint.identity())?;
        let address = self.supernode.remote().to_string();
        let connection = endpoint.connect(&address, Expect::Supernode).await?;
        Ok((endpoint, connection))
    }

    /// Asks the supernode's cache for 16 pieces and takes none of them. The pieces wait with the
    /// supernode for as long as the stream is kept.
    ///
    /// # Errors
    /// If the supernode does not begin to answer.
    pub async fn hold(
        &self,
        task: &str,
        ticket: Option<SignedTicket>,
    ) -> anyhow::Result<(Verdict, Stream)> {
        let request = ask(Asks::Fetch(Fetch {
            task: task.to_owned(),
            first: 0,
            end: 16,
            ticket,
            priority: 1,
        }));
        let mut stream = self.supernode.open(&request).await?;
        let header = tokio::time::timeout(PATIENCE, stream.recv::<PieceHeader>()).await??;
        Ok((header.context("no header")?.verdict(), stream))
    }

    /// Reads nothing more of what the supernode says.
    pub fn stop_reading(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Begins a control stream beside its own with these bytes, and leaves it so.
    ///
    /// # Errors
    /// If the supernode is gone.
    pub async fn begin(&self, bytes: Bytes) -> anyhow::Result<Stream> {
        let mut stream = self.supernode.open(&ask(Asks::Control(Control {}))).await?;
        // The supernode may end the stream before it has read all of it, or read no further.
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.send_bytes(bytes)).await;
        Ok(stream)
    }

    /// Begins a control stream beside its own with these bytes, and waits until the supernode has
    /// ended it.
    ///
    /// # Errors
    /// If the supernode goes on with the conversation.
    pub async fn babble(&self, bytes: Bytes) -> anyhow::Result<()> {
        let mut stream = self.supernode.open(&ask(Asks::Control(Control {}))).await?;
        // The supernode may end the stream before it has read all of it.
        let _ = stream.send_bytes(bytes).await;
        let answer = tokio::time::timeout(PATIENCE, stream.recv::<FromSupernode>()).await;
        let answer = answer.context("the supernode keeps the stream open")?;
        ensure!(!matches!(answer, Ok(Some(_))), "the supernode answered: {answer:?}");
        Ok(())
    }
}

/// An endpoint with little room, so that what it does not read soon waits with the sender.
fn bind(identity: Identity) -> anyhow::Result<Endpoint> {
    let limits = Limits { stream_window: 128 << 10, ..Limits::default() };
    Ok(Endpoint::bind("127.0.0.1:0".parse()?, identity, limits)?)
}

fn ask(asks: Asks) -> Request {
    Request { request_id: "hostile".into(), asks: Some(asks) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
