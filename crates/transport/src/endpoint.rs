//! One port, UDP and TCP, that dials and is dialled.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::authority::Authority;
use crate::census::Census;
use crate::connection::Connection;
use crate::door::Door;
use crate::error::{TransportError, code};
use crate::gate::Gate;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::listen;
use crate::pool::Pool;
use crate::role::{PeerIdentity, Role};
use crate::tls::Tls;

/// So many connections wait to be accepted.
const WAITING: usize = 256;

/// The UDP socket's buffers, each way.
const UDP_BUFFER: usize = 4 << 20;

/// How often what is unused is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Peers are told of the end within this time, or not.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whom to expect at an address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expect {
    /// Any supernode of the cluster.
    Supernode,
    /// The node of that name.
    Node(String),
}

impl Expect {
    /// Whether `peer` is the one.
    #[must_use]
    pub fn admits(&self, peer: &PeerIdentity) -> bool {
        match self {
            Self::Supernode => peer.role == Role::Supernode,
            Self::Node(name) => peer.role == Role::Node && peer.name == *name,
        }
    }

    pub(crate) const fn role(&self) -> Role {
        match self {
            Self::Supernode => Role::Supernode,
            Self::Node(_) => Role::Node,
        }
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.role().server_name())
            .unwrap_or_else(|_| unreachable!("roles are DNS names"))
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Supernode => f.write_str("a supernode"),
            Self::Node(name) => write!(f, "node {name}"),
        }
    }
}

/// A member's port. Clones share it; it closes when the last of them is dropped.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    accepted: Arc<Mutex<mpsc::Receiver<Connection>>>,
    local: SocketAddr,
    _guard: Arc<DropGuard>,
}

/// What the endpoint's tasks share.
pub(crate) struct Shared {
    pub(crate) quic: quinn::Endpoint,
    pub(crate) limits: Limits,
    pub(crate) census: Arc<Census>,
    pub(crate) quic_gate: Arc<Gate>,
    pub(crate) bulk_gate: Arc<Gate>,
    pub(crate) stop: CancellationToken,
    pub(crate) door: Option<Door>,
    tls: RwLock<Arc<Tls>>,
    pool: Pool,
}

impl Shared {
    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_identity(&self, identity: Identity) -> Result<(), TransportError> {
        let tls = Tls::new(identity, &self.limits, self.door.is_some())?;
        self.quic.set_server_config(Some(tls.quic_server.clone()));
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
        Ok(())
    }
}

impl Endpoint {
    /// Opens the port as the member whose identity it is. Port 0 takes any that is free. To be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// If the port cannot be had, or the identity cannot be used.
    pub fn bind(
        listen: SocketAddr,
        identity: Identity,
        limits: Limits,
    ) -> Result<Self, TransportError> {
        Self::open(listen, identity, limits, None)
    }

    /// Opens a supernode's port: nodes join at it, and its certificate is renewed by itself.
    ///
    /// # Errors
    /// If the port cannot be had, or the name is none.
    pub fn bind_supernode(
        listen: SocketAddr,
        authority: Arc<Authority>,
        name: &str,
        limits: Limits,
    ) -> Result<Self, TransportError> {
        let identity = authority
            .supernode_identity(name)
            .map_err(|error| TransportError::Identity(error.to_string()))?;
        let door = Door::new(Arc::clone(&authority));
        let endpoint = Self::open(listen, identity, limits, Some(door))?;
        let shared = Arc::clone(&endpoint.shared);
        tokio::spawn(async move {
            let stop = shared.stop.clone();
            tokio::select! {
                () = renew_for_ever(&shared, &authority) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(endpoint)
    }

    fn open(
        listen: SocketAddr,
        identity: Identity,
        limits: Limits,
        door: Option<Door>,
    ) -> Result<Self, TransportError> {
        let failed = |source: io::Error| TransportError::Listen {
            address: listen.to_string(),
            source: Arc::new(source),
        };
        let tls = Tls::new(identity, &limits, door.is_some())?;
        let (udp, tcp) = sockets(listen).map_err(failed)?;
        let local = udp.local_addr().map_err(failed)?;
        let listener = match limits.bulk_over_tcp {
            true => Some(TcpListener::from_std(tcp).map_err(failed)?),
            false => None,
        };
        let quic = quinn::Endpoint::new(
            quinn::EndpointConfig::default(),
            Some(tls.quic_server.clone()),
            udp,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(failed)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            quic,
            census: Arc::default(),
            quic_gate: Gate::new(limits.max_handshakes),
            bulk_gate: Gate::new(limits.max_handshakes),
            stop: stop.clone(),
            door,
            tls: RwLock::new(Arc::new(tls)),
            pool: Pool::default(),
            limits,
        });
        let (out, accepted) = mpsc::channel(WAITING);
        tokio::spawn(listen::quic(Arc::clone(&shared), out.clone()));
        if let Some(listener) = listener {
            tokio::spawn(listen::tcp(Arc::clone(&shared), listener, out));
        }
        tokio::spawn(sweep(Arc::clone(&shared)));
        Ok(Self {
            shared,
            accepted: Arc::new(Mutex::new(accepted)),
            local,
            _guard: Arc::new(stop.drop_guard()),
        })
    }

    /// Where the port is.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The identity that new connections use.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.tls().identity.clone()
    }

    /// New connections use `identity` from now on; those that are open stay as they are.
    ///
    /// # Errors
    /// If it cannot be used for TLS.
    pub fn set_identity(&self, identity: Identity) -> Result<(), TransportError> {
        self.shared.set_identity(identity)
    }

    /// A connection to whoever `expect` says at `address` (`host:port`): one that is open, or a
    /// new one.
    ///
    /// # Errors
    /// If nobody answers there, or somebody else does.
    pub async fn connect(
        &self,
        address: &str,
        expect: Expect,
    ) -> Result<Connection, TransportError> {
        if self.shared.stop.is_cancelled() {
            return Err(TransportError::Closed);
        }
        let dial = Arc::clone(&self.shared).dial(address, &expect);
        self.shared.pool.get(address, &expect, dial).await
    }

    /// The next connection that a member of the cluster has opened; `None` when the endpoint is
    /// closed. Bulk connections come out here too: requests are accepted from both alike.
    pub async fn accept(&self) -> Option<Connection> {
        let mut accepted = self.accepted.lock().await;
        tokio::select! {
            connection = accepted.recv() => connection,
            () = self.shared.stop.cancelled() => None,
        }
    }

    /// Closes the port and all connections, and tells the peers.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.pool.clear();
        self.shared.quic.close(code::DONE, b"going away");
        if timeout(FAREWELL, self.shared.quic.wait_idle()).await.is_err() {
            tracing::debug!("some peers did not hear that the endpoint closes");
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.local)
            .field("identity", &self.identity())
            .finish_non_exhaustive()
    }
}

/// A UDP and a TCP socket at the same port.
fn sockets(listen: SocketAddr) -> io::Result<(UdpSocket, std::net::TcpListener)> {
    let attempts = if listen.port() == 0 { 32 } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..attempts {
        let tcp = std::net::TcpListener::bind(listen)?;
        tcp.set_nonblocking(true)?;
        // A free TCP port may be a taken UDP port.
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => {
                widen(&udp);
                return Ok((udp, tcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Room for bursts: one socket carries all connections. The system may give less
/// (`net.core.rmem_max`), and that works too.
fn widen(udp: &UdpSocket) {
    let socket = SockRef::from(udp);
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => shared.pool.sweep(&shared.limits),
            () = shared.stop.cancelled() => return,
        }
    }
}

/// A supernode signs its own certificate anew in good time.
async fn renew_for_ever(shared: &Shared, authority: &Authority) {
    loop {
        let identity = shared.tls().identity.clone();
        let left = identity.renew_at().duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(left.max(Duration::from_secs(60))).await;
        let renewed = authority
            .supernode_identity(identity.name())
            .map_err(|error| TransportError::Identity(error.to_string()))
            .and_then(|identity| shared.set_identity(identity));
        match renewed {
            Ok(()) => tracing::info!("the supernode's certificate has been renewed"),
            Err(error) => tracing::error!(%error, "the supernode's certificate cannot be renewed"),
        }
    }
}
