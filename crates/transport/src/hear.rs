//! What a peer asks: the first message of each stream is read before anybody is bothered.
//!
//! Streams are read beside each other, so that a silent one holds up no other.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::request::Request;

use crate::bulk::{Home, Link};
use crate::connection::WeakConnection;
use crate::error::{TransportError, code};
use crate::limits::Limits;
use crate::stream::Stream;

/// No request is longer: a ticket, a credential, a certificate request.
const LONGEST_REQUEST: usize = 128 * 1024;

/// Hears one connection.
pub(crate) struct Hearing {
    connection: WeakConnection,
    out: mpsc::Sender<(Request, Stream)>,
    limits: Limits,
}

impl Hearing {
    pub(crate) fn new(
        connection: WeakConnection,
        out: mpsc::Sender<(Request, Stream)>,
        limits: Limits,
    ) -> Self {
        Self { connection, out, limits }
    }

    /// Until the connection is gone.
    pub(crate) async fn quic(self, quic: &quinn::Connection) {
        // Bounded by the number of streams that the peer may have open.
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                opened = quic.accept_bi() => match opened {
                    Ok(halves) => {
                        let stream = Stream::quic(halves, self.limits.stall_timeout, None);
                        reading.spawn(read(stream, self.out.clone(), self.connection.clone(),
                            self.limits.request_timeout));
                    }
                    Err(error) => {
                        tracing::trace!(%error, "a connection has ended");
                        return;
                    }
                },
                Some(_) = reading.join_next() => {}
            }
        }
    }

    /// One request after the other, until the peer leaves or an exchange is given up.
    pub(crate) async fn bulk(self, mut link: Link) {
        loop {
            let (home, next) = oneshot::channel();
            let mut stream =
                Stream::bulk(link, self.limits.stall_timeout, Home::Hearing(home), None);
            let idle = timeout(self.limits.idle_timeout, stream.ready()).await;
            if !matches!(idle, Ok(Ok(true))) {
                return;
            }
            let Some(connection) = self.connection.upgrade() else {
                return;
            };
            let request = timeout(self.limits.request_timeout, first(&mut stream)).await;
            let Ok(Ok(request)) = request else {
                tracing::debug!(peer = %connection.peer(), "a bulk connection without a request");
                return;
            };
            let stream = stream.keeping(connection);
            if self.out.send((request, stream)).await.is_err() {
                return;
            }
            match next.await {
                Ok(back) => link = back,
                Err(_) => return,
            }
        }
    }
}

async fn first(stream: &mut Stream) -> Result<Request, TransportError> {
    stream.recv_short(LONGEST_REQUEST).await?.ok_or(TransportError::Truncated)
}

async fn read(
    mut stream: Stream,
    out: mpsc::Sender<(Request, Stream)>,
    connection: WeakConnection,
    patience: std::time::Duration,
) {
    let request = timeout(patience, first(&mut stream)).await;
    let Some(connection) = connection.upgrade() else {
        return;
    };
    match request.unwrap_or(Err(TransportError::Timeout)) {
        Ok(request) => {
            let stream = stream.keeping(connection);
            // It fails when the connection is being closed.
            let _ = out.send((request, stream)).await;
        }
        Err(error) => {
            tracing::debug!(peer = %connection.peer(), %error, "a stream without a request");
            stream.refuse(code::GARBAGE);
        }
    }
}
