//! Bulk bytes over TCP and TLS: the same identities, framing and requests as over QUIC, for
//! little more than a third of the CPU.
//!
//! One request at a time on each socket. When both sides know that the answer is over, the socket
//! waits for the next request: at the asker among the peer's [`Lanes`], at the asked where
//! `hear` reads requests.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::endpoint::{Expect, Shared};
use crate::error::TransportError;
use crate::verify::MemberVerifier;

/// A TLS connection over TCP.
pub(crate) type Socket = TlsStream<BufReader<TcpStream>>;

/// A place among the sockets to one peer; none where the peer opened it.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

/// A peer whose TCP port does not answer is not tried again for so long.
const BARRED: Duration = Duration::from_secs(60);

/// Opening must be quick: QUIC is open already.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// An idle socket is kept for so long: less than the asked waits for the next request.
const IDLE: Duration = Duration::from_secs(15);

/// So much is read from a socket at once: rustls itself asks for 4 KiB, a call each.
const READ_AT_ONCE: usize = 128 * 1024;

/// Requests are small, and a supernode has many sockets.
const READ_REQUEST: usize = 4 * 1024;

/// So much plaintext is taken at once to be encrypted and written together.
const WRITE_BUFFER: usize = 256 * 1024;

/// A socket between two requests.
pub(crate) struct Link {
    pub(crate) read: ReadHalf<Socket>,
    pub(crate) write: WriteHalf<Socket>,
    pub(crate) buffer: BytesMut,
    pub(crate) permit: Permit,
}

impl Link {
    pub(crate) fn new(socket: Socket, permit: Permit) -> Self {
        let (read, write) = tokio::io::split(socket);
        Self { read, write, buffer: BytesMut::new(), permit }
    }

    /// Whether nothing has come, not even the end: what an idle socket should be like.
    fn is_quiet(&mut self) -> bool {
        let read = pin!(self.read.read_buf(&mut self.buffer));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

/// Where a socket goes when an exchange is done.
pub(crate) enum Home {
    /// At the asker.
    Lanes(Arc<Lanes>),
    /// At the asked.
    Hearing(oneshot::Sender<Link>),
}

impl Home {
    pub(crate) fn give(self, link: Link) {
        match self {
            Self::Lanes(lanes) => lanes.keep(link),
            Self::Hearing(next) => {
                // Nobody hears any more when the connection was closed meanwhile.
                let _ = next.send(link);
            }
        }
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lanes(_) => "Lanes",
            Self::Hearing(_) => "Hearing",
        })
    }
}

/// The sockets to one peer.
pub(crate) struct Lanes {
    shared: Weak<Shared>,
    address: std::net::SocketAddr,
    expect: Expect,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<(Link, Instant)>,
    barred_until: Option<Instant>,
}

impl Lanes {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        address: std::net::SocketAddr,
        expect: Expect,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::downgrade(shared),
            address,
            expect,
            places: Arc::new(Semaphore::new(shared.limits.max_bulk_per_peer)),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket to the peer; `None` where QUIC must do.
    pub(crate) async fn take(&self) -> Option<Link> {
        loop {
            // The lock is not held while a socket is looked at or dropped.
            let idle = self.state().idle.pop();
            let Some((mut link, _)) = idle else { break };
            if link.is_quiet() {
                return Some(link);
            }
        }
        if self.state().barred_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let opened = tokio::time::timeout(CONNECT_WITHIN, self.open()).await;
        match opened.unwrap_or(Err(TransportError::Timeout)) {
            Ok(socket) => Some(Link::new(socket, Some(permit))),
            Err(error) => {
                tracing::debug!(peer = %self.expect, address = %self.address, %error,
                    "no bulk connection; QUIC carries the bytes");
                self.state().barred_until = Some(Instant::now() + BARRED);
                None
            }
        }
    }

    async fn open(&self) -> Result<Socket, TransportError> {
        let shared = self.shared.upgrade().ok_or(TransportError::Closed)?;
        let tls = shared.tls();
        let verifier = MemberVerifier::new(Arc::clone(&tls.verifier), self.expect.clone());
        let connector = TlsConnector::from(Arc::new(tls.client(Arc::clone(&verifier) as Arc<_>)));
        let tcp = TcpStream::connect(self.address).await?;
        tune(&tcp, shared.limits.stall_timeout)?;
        let socket = connector
            .connect_with(
                self.expect.server_name(),
                BufReader::with_capacity(READ_AT_ONCE, tcp),
                |session| {
                    session.set_buffer_limit(Some(WRITE_BUFFER));
                },
            )
            .await
            .map_err(|error| verifier.refusal().unwrap_or_else(|| error.into()))?;
        Ok(socket.into())
    }

    fn keep(&self, link: Link) {
        // Bytes after the answer's end: the peer and we do not understand each other.
        if link.buffer.is_empty() {
            self.state().idle.push((link, Instant::now()));
        }
    }

    /// Closes sockets that were idle for long.
    pub(crate) fn sweep(&self) {
        let (kept, old): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state().idle)
            .into_iter()
            .partition(|(_, since)| since.elapsed() < IDLE);
        self.state().idle.extend(kept);
        drop(old);
    }
}

/// How a bulk socket behaves: a peer that has gone is noticed by what it does not acknowledge.
pub(crate) fn tune(tcp: &TcpStream, silence: Duration) -> Result<(), TransportError> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_user_timeout(Some(silence))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    Ok(socket.set_tcp_keepalive(&keepalive)?)
}

/// The asked's side of TLS.
pub(crate) async fn accept(
    tcp: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> Result<Socket, TransportError> {
    let socket = tokio_rustls::TlsAcceptor::from(config)
        .accept_with(BufReader::with_capacity(READ_REQUEST, tcp), |session| {
            session.set_buffer_limit(Some(WRITE_BUFFER))
        })
        .await?;
    Ok(socket.into())
}
