//! Who comes in: every stream's first message says what it is for.

use std::sync::Arc;

use peer::serve::Uploader;
use registry::RequestId;
use tracing::Instrument;
use transport::{Authority, Connection, Endpoint, Role, Stream, TransportError};
use wire::request::{Asks, Request};

use crate::answer::Answers;
use crate::session;
use crate::swarm::Swarm;

/// What the door leads to.
#[derive(Clone, Debug)]
pub struct Door {
    /// The scheduler.
    pub swarm: Swarm,
    /// Questions about blobs and manifests.
    pub answers: Arc<Answers>,
    /// The cache's pieces.
    pub uploader: Arc<Uploader>,
    /// The cluster's certificates.
    pub authority: Arc<Authority>,
}

impl Door {
    /// Lets in whoever has the cluster's certificate, until the endpoint closes.
    pub async fn run(self, endpoint: Endpoint) {
        while let Some(connection) = endpoint.accept().await {
            let door = self.clone();
            tokio::spawn(async move { door.hear(connection).await });
        }
    }

    async fn hear(self, connection: Connection) {
        while let Some((request, stream)) = connection.accept().await {
            let door = self.clone();
            let connection = connection.clone();
            let id = RequestId::new(&request.request_id);
            let span = tracing::info_span!("asked", request = %request.request_id);
            let answered = async move {
                let peer = connection.peer();
                match door.answer(&connection, request, stream).await {
                    Ok(()) => tracing::debug!(peer = %peer.name, "answered"),
                    Err(error) => {
                        tracing::debug!(peer = %peer.name, %error, "a stream ended early");
                    }
                }
            };
            // The origin is told on whose behalf it is asked.
            tokio::spawn(RequestId::scope(id, answered.instrument(span)));
        }
    }

    async fn answer(
        &self,
        connection: &Connection,
        request: Request,
        mut stream: Stream,
    ) -> Result<(), TransportError> {
        let peer = connection.peer();
        let id = request.request_id;
        match request.asks {
            Some(Asks::Control(_)) if peer.role == Role::Node => {
                let held = session::hold(self.swarm.clone(), connection.clone(), stream).await;
                if let Err(error) = held {
                    tracing::debug!(node = %peer.name, %error, "a control stream ended early");
                }
                return Ok(());
            }
            Some(Asks::Open(ask)) => {
                stream.send(&self.answers.open(&peer.name, &id, ask).await).await?;
            }
            Some(Asks::OpenUrl(ask)) => {
                stream.send(&self.answers.open_url(&peer.name, &id, ask).await).await?;
            }
            Some(Asks::Manifest(ask)) => {
                stream.send(&self.answers.manifest(&peer.name, &id, ask).await).await?;
            }
            Some(Asks::Page(ask)) => stream.send(&self.answers.page(&id, ask).await).await?,
            Some(Asks::Fetch(ask)) => self.uploader.fetch(peer, ask, &mut stream).await?,
            Some(Asks::Describe(ask)) => {
                self.uploader.describe(connection, ask, &mut stream).await?
            }
            Some(Asks::Renew(ask)) => {
                let renewed = self.authority.renew(&ask.request, peer);
                stream.send(&renewed).await?;
            }
            Some(Asks::Control(_)) | None => return Ok(()),
        }
        stream.done();
        Ok(())
    }
}
