//! Reaching somebody: names are resolved, and all addresses are tried.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::bulk::Lanes;
use crate::certificate;
use crate::connection::{Connection, Facts};
use crate::endpoint::{Expect, Shared};
use crate::error::{TransportError, code};
use crate::role::PeerIdentity;
use crate::tls;
use crate::verify::MemberVerifier;

/// The next address is tried beside one that has not answered for so long (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// More addresses of one name than that are not tried.
const MOST_ADDRESSES: usize = 8;

/// The addresses behind `host:port`.
pub(crate) async fn resolve(
    address: &str,
    patience: Duration,
) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |reason: String| TransportError::Address { address: address.to_owned(), reason };
    let found = timeout(patience, tokio::net::lookup_host(address))
        .await
        .map_err(|_| failed("the name was not resolved in time".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = found.take(MOST_ADDRESSES).collect();
    if found.is_empty() {
        return Err(failed("the name has no address".into()));
    }
    Ok(found)
}

/// The first success; the last error if there is none, but rather one that tells of a wrong peer
/// than one that tells of none.
pub(crate) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    mut dial: impl FnMut(SocketAddr) -> F,
) -> Result<T, TransportError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, TransportError>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut dialling = JoinSet::new();
    let mut worst = TransportError::Closed;
    loop {
        if let Some(address) = waiting.next() {
            dialling.spawn(dial(address));
        }
        tokio::select! {
            ended = dialling.join_next() => match ended {
                Some(Ok(Ok(success))) => return Ok(success),
                Some(Ok(Err(error))) => {
                    if worst.is_transient() {
                        worst = error;
                    }
                }
                Some(Err(_)) => {}
                None => return Err(worst),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

impl Shared {
    /// Opens a connection to `address`.
    pub(crate) async fn dial(
        self: Arc<Self>,
        address: &str,
        expect: &Expect,
    ) -> Result<Connection, TransportError> {
        let addresses = resolve(address, self.limits.handshake_timeout).await?;
        race(addresses, |address| {
            let (shared, expect) = (Arc::clone(&self), expect.clone());
            async move { shared.dial_one(address, expect).await }
        })
        .await
    }

    async fn dial_one(
        self: Arc<Self>,
        address: SocketAddr,
        expect: Expect,
    ) -> Result<Connection, TransportError> {
        let tls = self.tls();
        let verifier = MemberVerifier::new(Arc::clone(&tls.verifier), expect.clone());
        let config = tls::quic_client(tls.client(Arc::clone(&verifier) as Arc<_>), &self.limits)?;
        let connecting = self
            .quic
            .connect_with(config, address, expect.role().server_name())
            .map_err(|error| TransportError::unreachable(address, error))?;
        let quic = match timeout(self.limits.handshake_timeout, connecting).await {
            Err(_) => return Err(TransportError::unreachable(address, "no answer in time")),
            Ok(Err(error)) => return Err(verifier.refusal().unwrap_or_else(|| error.into())),
            Ok(Ok(quic)) => quic,
        };
        let certificate = shown(&quic)?;
        let peer = member(&certificate)?;
        if !expect.admits(&peer) {
            // The handshake has made sure already; this is for whoever changes the handshake.
            quic.close(code::STRANGER, b"another peer was expected");
            return Err(TransportError::WrongPeer {
                expected: expect.to_string(),
                actual: peer.to_string(),
            });
        }
        let lanes = (self.limits.bulk_over_tcp).then(|| Lanes::new(&self, address, expect));
        let facts = Facts {
            peer,
            remote: quic.remote_address(),
            expires: certificate::validity(&certificate).map_err(untrusted)?.1,
            stop: CancellationToken::new(),
            place: None,
            lanes,
        };
        Ok(Connection::over_quic(quic, facts, &self.limits))
    }
}

/// The certificate that the peer has shown, and that was verified.
pub(crate) fn shown(quic: &quinn::Connection) -> Result<CertificateDer<'static>, TransportError> {
    let chain =
        quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    chain
        .and_then(|chain| chain.into_iter().next())
        .ok_or_else(|| TransportError::Untrusted("the peer showed no certificate".into()))
}

/// Who a certificate is for.
pub(crate) fn member(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, TransportError> {
    PeerIdentity::of(certificate).map_err(untrusted)
}

fn untrusted(error: crate::error::IdentityError) -> TransportError {
    TransportError::Untrusted(error.to_string())
}
