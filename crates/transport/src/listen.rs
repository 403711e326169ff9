//! Who comes to the port: members over QUIC and TCP, and strangers that want to join.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::Incoming;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::bulk::{self, Link};
use crate::census::Way;
use crate::certificate;
use crate::connection::{Connection, Facts};
use crate::dial::{member, shown};
use crate::endpoint::Shared;
use crate::error::{TransportError, code};
use crate::gate::Pass;

/// Where accepted connections come out.
pub(crate) type Accepted = mpsc::Sender<Connection>;

/// Answers the UDP port until the endpoint closes.
pub(crate) async fn quic(shared: Arc<Shared>, out: Accepted) {
    loop {
        let incoming = tokio::select! {
            incoming = shared.quic.accept() => incoming,
            () = shared.stop.cancelled() => return,
        };
        let Some(incoming) = incoming else { return };
        if shared.census.is_full(Way::Quic, &shared.limits) {
            incoming.refuse();
            continue;
        }
        let Some(pass) = admit(&shared, &incoming) else {
            send_back(incoming);
            continue;
        };
        let (shared, out) = (Arc::clone(&shared), out.clone());
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let taken = take_in(&shared, incoming).await;
            drop(pass);
            deliver(taken, from, &out);
        });
    }
}

/// Room for the handshake. Under load, an address is believed only after an answer came back from
/// it: nobody then takes room in another's name.
fn admit(shared: &Shared, incoming: &Incoming) -> Option<Pass> {
    if shared.quic_gate.is_crowded() && incoming.may_retry() {
        return None;
    }
    shared.quic_gate.pass(canonical(incoming.remote_address()))
}

/// Lets whoever is real try again; costs us no memory.
fn send_back(incoming: Incoming) {
    if incoming.may_retry() {
        let _ = incoming.retry();
    } else {
        incoming.ignore();
    }
}

fn deliver(taken: Result<Option<Connection>, TransportError>, from: SocketAddr, out: &Accepted) {
    match taken {
        Ok(Some(connection)) => {
            if let Err(mpsc::error::TrySendError::Full(connection)) = out.try_send(connection) {
                connection.close("too many connections wait to be accepted");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%from, %error, "somebody was not let in"),
    }
}

/// Finishes the handshake; `None` for a stranger that has been answered.
async fn take_in(
    shared: &Arc<Shared>,
    incoming: Incoming,
) -> Result<Option<Connection>, TransportError> {
    let quic = timeout(shared.limits.handshake_timeout, incoming.accept()?)
        .await
        .map_err(|_| TransportError::Timeout)??;
    if is_joining(&quic) {
        if let Some(door) = &shared.door {
            door.answer(&shared.census, quic).await;
        }
        return Ok(None);
    }
    let entered = enter_quic(shared, &quic);
    match entered {
        Ok(facts) => Ok(Some(Connection::over_quic(quic, facts, &shared.limits))),
        Err(TransportError::Full) => {
            quic.close(code::FULL, b"too many connections");
            Err(TransportError::Full)
        }
        Err(error) => {
            quic.close(code::STRANGER, b"a certificate of the cluster is needed");
            Err(error)
        }
    }
}

fn is_joining(quic: &quinn::Connection) -> bool {
    let data = quic
        .handshake_data()
        .and_then(|any| any.downcast::<quinn::crypto::rustls::HandshakeData>().ok());
    data.and_then(|data| data.protocol).as_deref() == Some(wire::ALPN_JOIN)
}

fn enter_quic(shared: &Arc<Shared>, quic: &quinn::Connection) -> Result<Facts, TransportError> {
    enter(shared, &shown(quic)?, quic.remote_address(), Way::Quic)
}

fn enter(
    shared: &Arc<Shared>,
    certificate: &CertificateDer<'_>,
    remote: SocketAddr,
    way: Way,
) -> Result<Facts, TransportError> {
    let peer = member(certificate)?;
    let (_, expires) = certificate::validity(certificate)
        .map_err(|error| TransportError::Untrusted(error.to_string()))?;
    let stop = CancellationToken::new();
    let place = shared
        .census
        .enter(peer.clone(), way, canonical(remote), stop.clone(), &shared.limits)
        .ok_or(TransportError::Full)?;
    Ok(Facts { peer, remote, expires, stop, place: Some(place), lanes: None })
}

/// An IPv4 address as itself, though it came to an IPv6 socket.
pub(crate) fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// Answers the TCP port until the endpoint closes.
pub(crate) async fn tcp(shared: Arc<Shared>, listener: TcpListener, out: Accepted) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly too many open files; the next attempt may find one free.
                tracing::warn!(%error, "a bulk connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if shared.census.is_full(Way::Bulk, &shared.limits) {
            continue;
        }
        let Some(pass) = shared.bulk_gate.pass(canonical(from)) else {
            continue;
        };
        let (shared, out) = (Arc::clone(&shared), out.clone());
        tokio::spawn(async move {
            let taken = take_in_bulk(&shared, tcp, from).await.map(Some);
            drop(pass);
            deliver(taken, from, &out);
        });
    }
}

async fn take_in_bulk(
    shared: &Arc<Shared>,
    tcp: TcpStream,
    from: SocketAddr,
) -> Result<Connection, TransportError> {
    bulk::tune(&tcp, shared.limits.stall_timeout)?;
    let config = Arc::clone(&shared.tls().bulk_server);
    let socket = timeout(shared.limits.handshake_timeout, bulk::accept(tcp, config))
        .await
        .map_err(|_| TransportError::Timeout)??;
    let certificate = {
        let (_, session) = socket.get_ref();
        if session.alpn_protocol() != Some(wire::ALPN) {
            return Err(TransportError::Untrusted("another protocol is spoken".into()));
        }
        session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .ok_or_else(|| TransportError::Untrusted("the peer showed no certificate".into()))?
            .clone()
            .into_owned()
    };
    let facts = enter(shared, &certificate, from, Way::Bulk)?;
    Ok(Connection::over_tcp(Link::new(socket, None), facts, &shared.limits))
}
