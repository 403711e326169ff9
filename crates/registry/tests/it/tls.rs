//! Certificates: who is trusted, and what may not be given up for plain HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use content::Digest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::{Caller, Error, RegistryConfig};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

use crate::support::{Answer, Seen, Server, client};

/// An authority of our own, in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn head(server: &Server, config: RegistryConfig) -> Result<u64, Error> {
    let (digest, caller) = (Digest::of(b"the blob"), Caller::Client(None));
    let registries = client([config]);
    let info = registries.blob_head(&server.repository(), &digest, &caller).await?;
    Ok(info.length)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_configured() {
    let authority = Authority::new();
    let make = |_: &Server| |_: &Seen| Answer::new(200, vec![0; 9]);
    let server = Server::start_with(make, Some(authority.acceptor())).await;
    let mut config = server.config();
    let error = head(&server, config.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }) && !error.is_transient(), "{error:?}");
    assert!(server.seen().is_empty());

    let other = Authority::new();
    config.ca = vec![other.file()];
    assert!(matches!(head(&server, config.clone()).await, Err(Error::Tls { .. })));

    config.ca = vec![authority.file()];
    assert_eq!(head(&server, config).await.unwrap(), 9);
}

#[tokio::test]
async fn a_redirect_does_not_give_up_tls() {
    let plain = Server::start(|_| Answer::new(200, vec![0; 9])).await;
    let authority = Authority::new();
    let to = plain.url("/");
    let make = |_: &Server| move |_: &Seen| Answer::redirect(to.clone());
    let server = Server::start_with(make, Some(authority.acceptor())).await;
    let mut config = server.config();
    config.ca = vec![authority.file()];
    config.allow_loopback = true;
    let error = head(&server, config).await.unwrap_err();
    assert!(matches!(error, Error::RedirectDenied { .. }), "{error:?}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_realm_does_not_give_up_tls() {
    let plain = Server::start(|_| Answer::token("t", 60)).await;
    let authority = Authority::new();
    let realm = plain.url("/token");
    let make = |_: &Server| move |_: &Seen| Answer::challenge(&realm);
    let server = Server::start_with(make, Some(authority.acceptor())).await;
    let mut config = server.config();
    config.ca = vec![authority.file()];
    config.allow_loopback = true;
    let error = head(&server, config).await.unwrap_err();
    assert!(matches!(error, Error::RealmDenied { .. }), "{error:?}");
    assert!(plain.seen().is_empty());
}
