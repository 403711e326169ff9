//! One peer, whose certificate was verified.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use wire::request::Request;

use crate::bulk::{Home, Lanes, Link};
use crate::census::Place;
use crate::error::{TransportError, code};
use crate::hear;
use crate::limits::Limits;
use crate::role::PeerIdentity;
use crate::stream::Stream;

/// So many requests wait to be accepted; more wait with the peer.
const WAITING: usize = 16;

/// A connection to a peer. Clones share it; it is closed when the last of them, and the last of
/// its streams, is dropped.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

/// A connection that is not kept open by being known.
#[derive(Clone)]
pub(crate) struct WeakConnection(Weak<Inner>);

struct Inner {
    peer: PeerIdentity,
    remote: SocketAddr,
    /// `None` for a bulk connection that the peer opened.
    quic: Option<quinn::Connection>,
    /// Where bulk bytes may be had, on a connection that we opened.
    lanes: Option<Arc<Lanes>>,
    requests: Mutex<mpsc::Receiver<(Request, Stream)>>,
    stop: CancellationToken,
    stall: Duration,
    _place: Option<Place>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a connection is made of, beside its socket.
pub(crate) struct Facts {
    pub(crate) peer: PeerIdentity,
    pub(crate) remote: SocketAddr,
    pub(crate) expires: SystemTime,
    pub(crate) stop: CancellationToken,
    pub(crate) place: Option<Place>,
    pub(crate) lanes: Option<Arc<Lanes>>,
}

impl Connection {
    pub(crate) fn over_quic(quic: quinn::Connection, facts: Facts, limits: &Limits) -> Self {
        let (sender, requests) = mpsc::channel(WAITING);
        let (stop, expires) = (facts.stop.clone(), facts.expires);
        let connection = Self::new(facts, Some(quic.clone()), requests, limits);
        let hearing = hear::Hearing::new(connection.downgrade(), sender, limits.clone());
        tokio::spawn(async move {
            let reason = tokio::select! {
                () = hearing.quic(&quic) => code::DONE,
                () = stop.cancelled() => code::DONE,
                () = until(expires) => code::EXPIRED,
            };
            stop.cancel();
            quic.close(reason, if reason == code::EXPIRED { b"certificate expired" } else { b"" });
        });
        connection
    }

    pub(crate) fn over_tcp(link: Link, facts: Facts, limits: &Limits) -> Self {
        let (sender, requests) = mpsc::channel(WAITING);
        let (stop, expires) = (facts.stop.clone(), facts.expires);
        let connection = Self::new(facts, None, requests, limits);
        let hearing = hear::Hearing::new(connection.downgrade(), sender, limits.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = hearing.bulk(link) => {}
                () = stop.cancelled() => {}
                () = until(expires) => {}
            }
            stop.cancel();
        });
        connection
    }

    fn new(
        facts: Facts,
        quic: Option<quinn::Connection>,
        requests: mpsc::Receiver<(Request, Stream)>,
        limits: &Limits,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                peer: facts.peer,
                remote: SocketAddr::new(facts.remote.ip().to_canonical(), facts.remote.port()),
                quic,
                lanes: facts.lanes,
                requests: Mutex::new(requests),
                stop: facts.stop,
                stall: limits.stall_timeout,
                _place: facts.place,
            }),
        }
    }

    /// Who the peer is, by its certificate.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.inner.peer
    }

    /// Where the peer is.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.inner.remote
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let gone = |quic: &quinn::Connection| quic.close_reason().is_some();
        self.inner.stop.is_cancelled() || self.inner.quic.as_ref().is_some_and(gone)
    }

    /// Waits until the connection is gone.
    pub async fn closed(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Opens a stream for `request`.
    ///
    /// # Errors
    /// If the connection is gone, or is a bulk connection that the peer opened.
    pub async fn open(&self, request: &Request) -> Result<Stream, TransportError> {
        let quic = self.inner.quic.as_ref().ok_or(TransportError::OneWay)?;
        let halves = quic.open_bi().await?;
        let mut stream = Stream::quic(halves, self.inner.stall, Some(self.clone()));
        stream.send(request).await?;
        Ok(stream)
    }

    /// Opens a stream for a `request` with a long answer: over TCP where that can be had, because
    /// it is cheaper, over QUIC otherwise. End it with [`Stream::done`] once the answer was read.
    ///
    /// # Errors
    /// As for [`Connection::open`].
    pub async fn open_bulk(&self, request: &Request) -> Result<Stream, TransportError> {
        let Some(lanes) = &self.inner.lanes else {
            return self.open(request).await;
        };
        if let Some(link) = lanes.take().await {
            let home = Home::Lanes(Arc::clone(lanes));
            let mut stream = Stream::bulk(link, self.inner.stall, home, Some(self.clone()));
            // An idle socket may have died unnoticed; QUIC tells whether the peer has.
            if stream.send(request).await.is_ok() {
                return Ok(stream);
            }
        }
        self.open(request).await
    }

    /// The next stream that the peer opened, with what it is for; `None` when the connection is
    /// gone. A stream whose first message does not come in time, or is none, does not come out.
    pub async fn accept(&self) -> Option<(Request, Stream)> {
        self.inner.requests.lock().await.recv().await
    }

    /// Closes the connection; the peer's log may show `reason`.
    pub fn close(&self, reason: &str) {
        if let Some(quic) = &self.inner.quic {
            quic.close(code::DONE, reason.as_bytes());
        }
        self.inner.stop.cancel();
    }

    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.inner))
    }

    /// Whether nobody but one holder knows the connection, and it has no streams.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    pub(crate) fn sweep(&self) {
        if let Some(lanes) = &self.inner.lanes {
            lanes.sweep();
        }
    }
}

impl WeakConnection {
    pub(crate) fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(|inner| Connection { inner })
    }
}

/// Waits for a point in time. A clock that is set meanwhile moves it; certificates live for days.
async fn until(time: SystemTime) {
    let left = time.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left).await;
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.inner.peer)
            .field("remote", &self.inner.remote)
            .finish_non_exhaustive()
    }
}
