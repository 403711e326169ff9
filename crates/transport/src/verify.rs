//! Whether the server that answers is the one that was meant, decided within the handshake.

use std::sync::{Arc, OnceLock};

use content::Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::endpoint::Expect;
use crate::error::TransportError;
use crate::role::PeerIdentity;
use crate::tls;

/// Believes one expected member of the cluster, and keeps why it did not believe another.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    cluster: Arc<WebPkiServerVerifier>,
    expect: Expect,
    refusal: OnceLock<TransportError>,
}

impl MemberVerifier {
    pub(crate) fn new(cluster: Arc<WebPkiServerVerifier>, expect: Expect) -> Arc<Self> {
        Arc::new(Self { cluster, expect, refusal: OnceLock::new() })
    }

    /// Why the server was not believed, if that is why the handshake failed.
    pub(crate) fn refusal(&self) -> Option<TransportError> {
        self.refusal.get().cloned()
    }

    fn refuse(&self, error: TransportError) -> Error {
        // A handshake shows one certificate; what is kept first is what matters.
        let _ = self.refusal.set(error);
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
    }

    fn wrong(&self, certificate: &CertificateDer<'_>) -> Error {
        let actual = PeerIdentity::of(certificate)
            .map_or_else(|error| error.to_string(), |peer| peer.to_string());
        self.refuse(TransportError::WrongPeer { expected: self.expect.to_string(), actual })
    }
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.cluster.verify_server_cert(certificate, chain, name, ocsp, now);
        match verified {
            Ok(verified) => match PeerIdentity::of(certificate) {
                Ok(peer) if self.expect.admits(&peer) => Ok(verified),
                _ => Err(self.wrong(certificate)),
            },
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Err(self.wrong(certificate)),
            Err(error) => {
                let _ = self.refusal.set(TransportError::Untrusted(error.to_string()));
                Err(error)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.cluster.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.cluster.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.cluster.supported_verify_schemes()
    }
}

/// Believes a supernode whose chain brings the CA that the join string's hash names.
#[derive(Debug)]
pub(crate) struct JoinVerifier {
    ca_hash: [u8; 32],
    ca: OnceLock<CertificateDer<'static>>,
    refusal: OnceLock<String>,
}

impl JoinVerifier {
    pub(crate) fn new(ca_hash: [u8; 32]) -> Arc<Self> {
        Arc::new(Self { ca_hash, ca: OnceLock::new(), refusal: OnceLock::new() })
    }

    /// The CA that the server brought and that is the right one.
    pub(crate) fn ca(&self) -> Option<CertificateDer<'static>> {
        self.ca.get().cloned()
    }

    /// Why the server was not believed, if that is why the handshake failed.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.get().cloned()
    }
}

impl ServerCertVerifier for JoinVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refuse = |reason: String, error: Error| {
            let _ = self.refusal.set(reason);
            error
        };
        let named = |ca: &&CertificateDer<'_>| Digest::of(ca).as_bytes() == &self.ca_hash;
        let Some(ca) = chain.iter().find(named) else {
            return Err(refuse(
                "its CA certificate does not have the hash that the join string names".into(),
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
            ));
        };
        let ca = ca.clone().into_owned();
        let cluster = tls::web_verifier(&ca).map_err(|error| {
            refuse(error.to_string(), Error::InvalidCertificate(CertificateError::BadEncoding))
        })?;
        let verified = cluster
            .verify_server_cert(certificate, chain, name, ocsp, now)
            .map_err(|error| refuse(error.to_string(), error))?;
        let _ = self.ca.set(ca);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
