//! The first contact of a node, and the renewal of its certificate.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::time::timeout;
use wire::join::{Join, Joined, Renew};
use wire::request::{Asks, Request};

use crate::connection::Connection;
use crate::dial::{race, resolve};
use crate::error::{JoinError, TransportError, code};
use crate::identity::{Identity, KeyRequest};
use crate::join_string::JoinString;
use crate::limits::Limits;
use crate::role::{PeerIdentity, Role};
use crate::stream::Stream;
use crate::tls;
use crate::verify::JoinVerifier;

/// A supernode answers within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Becomes the node `name` of the cluster that the join string names. All its addresses are tried
/// in turn; a refusal is final, because the supernodes of a cluster think alike.
///
/// # Errors
/// If nobody answers, somebody else does, or the supernode refuses.
pub async fn join(join: &JoinString, name: &str) -> Result<Identity, JoinError> {
    let node = PeerIdentity::new(Role::Node, name)?;
    let mut last = JoinError::Transport(TransportError::Closed);
    for address in join.addresses() {
        match join_at(join, address, &node).await {
            Err(error @ (JoinError::Transport(_) | JoinError::WrongCluster { .. })) => {
                tracing::debug!(%address, %error, "a supernode could not be joined");
                last = error;
            }
            ended => return ended,
        }
    }
    Err(last)
}

async fn join_at(
    join: &JoinString,
    address: &str,
    node: &PeerIdentity,
) -> Result<Identity, JoinError> {
    let verifier = JoinVerifier::new(*join.ca_hash());
    let limits = Limits::default();
    let addresses = resolve(address, limits.handshake_timeout).await?;
    let connected =
        race(addresses, |address| connect(address, Arc::clone(&verifier), limits.clone())).await;
    let ca = verifier.ca();
    let ((_client, quic), ca) = match (connected, ca, verifier.refusal()) {
        (Ok(connected), Some(ca), _) => (connected, ca),
        (_, _, Some(reason)) => {
            return Err(JoinError::WrongCluster { address: address.to_owned(), reason });
        }
        (Err(error), ..) => return Err(TransportError::unreachable(address, error).into()),
        (Ok(_), None, None) => return Err(TransportError::Closed.into()),
    };
    let asked = timeout(PATIENCE, ask(&quic, join, node, &ca)).await;
    quic.close(code::DONE, b"");
    asked.unwrap_or(Err(TransportError::Timeout.into()))
}

/// Connects as a stranger. The endpoint lives as long as the connection is needed.
async fn connect(
    address: SocketAddr,
    verifier: Arc<JoinVerifier>,
    limits: Limits,
) -> Result<(quinn::Endpoint, quinn::Connection), TransportError> {
    let failed = |error: &dyn std::fmt::Display| TransportError::unreachable(address, error);
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let client = quinn::Endpoint::client(any).map_err(|error| failed(&error))?;
    let config = tls::quic_client(tls::stranger(verifier), &limits)?;
    let connecting = client
        .connect_with(config, address, Role::Supernode.server_name())
        .map_err(|error| failed(&error))?;
    let quic = timeout(limits.handshake_timeout, connecting)
        .await
        .map_err(|_| failed(&"no answer in time"))??;
    Ok((client, quic))
}

async fn ask(
    quic: &quinn::Connection,
    join: &JoinString,
    node: &PeerIdentity,
    ca: &CertificateDer<'static>,
) -> Result<Identity, JoinError> {
    let request = KeyRequest::generate()?;
    let halves = quic.open_bi().await.map_err(TransportError::from)?;
    let mut stream = Stream::quic(halves, PATIENCE, None);
    let message = Join {
        secret: join.secret().to_owned(),
        name: node.name.clone(),
        request: request.der().to_vec(),
    };
    stream.send(&message).await?;
    stream.finish();
    let joined = answer(&mut stream).await?;
    Ok(request.answered(joined, node, ca, join.addresses())?)
}

async fn answer(stream: &mut Stream) -> Result<Joined, JoinError> {
    let joined: Joined = stream.recv().await?.ok_or(TransportError::Truncated)?;
    match joined.refusal {
        Some(reason) => Err(JoinError::Refused(crate::role::shorten(&reason))),
        None => Ok(joined),
    }
}

/// Asks the supernode behind `connection` for a new certificate, with a new key.
///
/// # Errors
/// If the connection fails, or the supernode refuses.
pub async fn renew(connection: &Connection, identity: &Identity) -> Result<Identity, JoinError> {
    let asked = async {
        let key = KeyRequest::generate()?;
        let ask = Request {
            request_id: String::new(),
            asks: Some(Asks::Renew(Renew { request: key.der().to_vec() })),
        };
        let mut stream = connection.open(&ask).await?;
        stream.finish();
        let joined = answer(&mut stream).await?;
        Ok(key.answered(joined, identity.peer(), identity.ca(), identity.supernodes())?)
    };
    timeout(PATIENCE, asked).await.unwrap_or(Err(TransportError::Timeout.into()))
}
