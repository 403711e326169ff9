//! TLS 1.3 and nothing else, between members of one cluster and nobody else.
//!
//! Sessions are never resumed: a resumed one would skip the look at the peer's certificate, and
//! with it the certificate's end.

use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;

use crate::certificate::failed;
use crate::error::{IdentityError, TransportError};
use crate::identity::Identity;
use crate::limits::Limits;

/// The cryptography, named explicitly: a process-wide default would be somebody else's choice.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(provider)
}

fn roots(ca: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(failed)?;
    Ok(Arc::new(roots))
}

/// Checks a server's certificate against the CA.
pub(crate) fn web_verifier(
    ca: &CertificateDer<'static>,
) -> Result<Arc<WebPkiServerVerifier>, IdentityError> {
    WebPkiServerVerifier::builder_with_provider(roots(ca)?, provider()).build().map_err(failed)
}

/// What one identity makes of TLS, for both roles and both ways.
pub(crate) struct Tls {
    pub(crate) identity: Identity,
    pub(crate) verifier: Arc<WebPkiServerVerifier>,
    pub(crate) quic_server: quinn::ServerConfig,
    pub(crate) bulk_server: Arc<ServerConfig>,
}

impl Tls {
    /// `joins`: whether strangers may come in to join, too.
    pub(crate) fn new(
        identity: Identity,
        limits: &Limits,
        joins: bool,
    ) -> Result<Self, TransportError> {
        let unusable = |error: IdentityError| TransportError::Identity(error.to_string());
        let verifier = web_verifier(identity.ca()).map_err(unusable)?;
        let quic = QuicServerConfig::try_from(server(&identity, joins).map_err(unusable)?)
            .map_err(|error| TransportError::Identity(error.to_string()))?;
        let mut quic_server = quinn::ServerConfig::with_crypto(Arc::new(quic));
        quic_server
            .transport_config(limits.transport())
            .max_incoming(limits.max_handshakes)
            .incoming_buffer_size(64 * 1024)
            .incoming_buffer_size_total(8 << 20);
        let bulk_server = Arc::new(server(&identity, false).map_err(unusable)?);
        Ok(Self { identity, verifier, quic_server, bulk_server })
    }

    /// Our side of a connection that we open, to whomever `verifier` believes.
    pub(crate) fn client(&self, verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
        let mut config = ours(verifier).with_client_cert_resolver(Arc::new(
            SingleCertAndKey::from(Arc::clone(&self.identity.certified())),
        ));
        config.alpn_protocols = vec![wire::ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config
    }
}

fn ours(
    verifier: Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap_or_else(|_| unreachable!("the provider has TLS 1.3"))
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// The client's side of joining: without a certificate yet.
pub(crate) fn stranger(verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    let mut config = ours(verifier).with_no_client_auth();
    config.alpn_protocols = vec![wire::ALPN_JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// A client configuration for QUIC.
pub(crate) fn quic_client(
    config: ClientConfig,
    limits: &Limits,
) -> Result<quinn::ClientConfig, TransportError> {
    let quic = QuicClientConfig::try_from(config)
        .map_err(|error| TransportError::Identity(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(limits.transport());
    Ok(config)
}

fn server(identity: &Identity, joins: bool) -> Result<ServerConfig, IdentityError> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(identity.ca())?, provider());
    let clients = if joins {
        // Who comes without a certificate and does not join is sent away after the handshake.
        clients.allow_unauthenticated()
    } else {
        clients
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(clients.build().map_err(failed)?)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    if joins {
        config.alpn_protocols.push(wire::ALPN_JOIN.to_vec());
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}
