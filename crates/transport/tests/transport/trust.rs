//! Who is not let in, and who is not believed.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use transport::{Endpoint, Expect, Limits, PeerIdentity, Role, TransportError};
use wire::join::Joined;

use crate::rig::{Cluster, DAY, address, echoes, local, node, serve_echo, soon};

/// A key and its certificate request, in the hands of somebody who does as they please.
pub(crate) struct Key {
    pub(crate) pair: KeyPair,
    pub(crate) csr: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn of(kind: &'static rcgen::SignatureAlgorithm) -> Self {
        let pair = KeyPair::generate_for(kind).expect("a key");
        let csr = CertificateParams::default().serialize_request(&pair).expect("a request");
        Self { csr: csr.der().to_vec(), pair }
    }
}

/// A TLS client that believes `ca`, with a certificate or without.
fn client(ca: &Joined, own: Option<(&Key, &Joined)>, alpn: &[u8]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.ca.clone())).expect("a CA");
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut config = match own {
        Some((key, issued)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from(issued.certificate.clone())],
                PrivatePkcs8KeyDer::from(key.pair.serialize_der()).into(),
            )
            .expect("a certificate"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// Comes to `endpoint` as `config` says; whether a stream got an answer, over QUIC and TCP.
async fn gets_in(endpoint: &Endpoint, server: &str, config: ClientConfig) -> (bool, bool) {
    let quic = gets_in_by_quic(endpoint, server, config.clone()).await.is_some();
    let tcp = gets_in_by_tcp(endpoint, server, config).await.is_ok();
    (quic, tcp)
}

async fn gets_in_by_quic(endpoint: &Endpoint, server: &str, config: ClientConfig) -> Option<()> {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).ok()?;
    let client = quinn::Endpoint::client(local()).expect("a socket");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connection = client
        .connect_with(config, endpoint.local_addr(), server)
        .expect("configured")
        .await
        .ok()?;
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    send.write_all(&question()).await.ok()?;
    let mut answer = vec![0; echo().len()];
    recv.read_exact(&mut answer).await.ok()?;
    (answer == echo()).then_some(())
}

async fn gets_in_by_tcp(
    endpoint: &Endpoint,
    server: &str,
    config: ClientConfig,
) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let tcp = TcpStream::connect(endpoint.local_addr()).await?;
    let name = server.to_owned().try_into().expect("a name");
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    tls.write_all(&question()).await?;
    tls.flush().await?;
    let mut answer = vec![0; echo().len()];
    tls.read_exact(&mut answer).await?;
    assert_eq!(answer, echo());
    Ok(())
}

/// A request, and a message to be echoed.
fn question() -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    wire::frame::encode(&crate::rig::request("x"), &mut out);
    wire::frame::encode(&crate::rig::message("x"), &mut out);
    out.to_vec()
}

/// What a member gets back.
fn echo() -> Vec<u8> {
    wire::frame::to_bytes(&crate::rig::message("x")).to_vec()
}

const SUPERNODE: &str = "supernode.meganeura";

#[tokio::test]
async fn only_a_certificate_of_the_cluster_gets_in() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let supernode = cluster.supernode();
    serve_echo(&supernode);
    let key = Key::new();
    let issue = |cluster: &Cluster, life| {
        cluster.authority.issue(&key.csr, Role::Node, "n1", life).expect("issued")
    };
    let (ours, theirs) = (issue(&cluster, DAY), issue(&other, DAY));
    let late = issue(&cluster, Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for (who, own, expected) in [
        ("a member", Some((&key, &ours)), true),
        ("a stranger", None, false),
        ("another cluster's node", Some((&key, &theirs)), false),
        ("a node of yesterday", Some((&key, &late)), false),
    ] {
        let config = client(&ours, own, wire::ALPN);
        let (quic, tcp) = soon(gets_in(&supernode, SUPERNODE, config)).await;
        assert_eq!((quic, tcp), (expected, expected), "{who}");
    }
    // A stranger that joins is answered over QUIC, but not as a member.
    let config = client(&ours, None, wire::ALPN_JOIN);
    assert_eq!(soon(gets_in(&supernode, SUPERNODE, config)).await, (false, false));
    // Another protocol is not spoken at all.
    let config = client(&ours, Some((&key, &ours)), b"h3");
    assert_eq!(soon(gets_in(&supernode, SUPERNODE, config)).await, (false, false));
}

#[tokio::test]
async fn a_node_without_a_door_takes_members_only() {
    let cluster = Cluster::new();
    let n1 = cluster.node("n1");
    serve_echo(&n1);
    let key = Key::new();
    let ours = cluster.authority.issue(&key.csr, Role::Node, "n2", DAY).expect("issued");
    let member = client(&ours, Some((&key, &ours)), wire::ALPN);
    assert_eq!(soon(gets_in(&n1, "node.meganeura", member)).await, (true, true));
    let stranger = client(&ours, None, wire::ALPN);
    assert_eq!(soon(gets_in(&n1, "node.meganeura", stranger)).await, (false, false));
}

#[tokio::test]
async fn a_server_must_be_who_is_expected() {
    let cluster = Cluster::new();
    let (n1, n2, supernode) = (cluster.node("n1"), cluster.node("n2"), cluster.supernode());
    serve_echo(&n1);
    for (to, expect) in [(&n1, Expect::Supernode), (&n1, node("n3")), (&supernode, node("s1"))] {
        let error = soon(n2.connect(&address(to), expect.clone())).await.expect_err("wrong");
        let TransportError::WrongPeer { expected, actual } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*expected, expect.to_string());
        assert_eq!(*actual, to.identity().peer().to_string());
        assert!(!error.is_transient());
    }
    let right = soon(n2.connect(&address(&n1), node("n1"))).await.expect("right");
    assert!(echoes(&right).await);
}

#[tokio::test]
async fn a_server_of_another_cluster_or_of_yesterday_is_not_believed() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let n1 = cluster.node("n1");
    let foreign = other.supernode();
    let late = cluster.authority.identity(Role::Node, "n2", Duration::ZERO).expect("signed");
    let late = Endpoint::bind(local(), late, Limits::default()).expect("bound");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for (to, expect) in [(&foreign, Expect::Supernode), (&late, node("n2"))] {
        let error = soon(n1.connect(&address(to), expect)).await.expect_err("not believed");
        assert!(matches!(error, TransportError::Untrusted(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_use_us_says_so() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    serve_echo(&supernode);
    let late = cluster.authority.identity(Role::Node, "n2", Duration::ZERO).expect("signed");
    let late = Endpoint::bind(local(), late, Limits::default()).expect("bound");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // In TLS 1.3 a client is connected before the server has looked at its certificate.
    match soon(late.connect(&address(&supernode), Expect::Supernode)).await {
        Ok(connection) => assert!(!echoes(&connection).await),
        Err(error) => assert!(matches!(error, TransportError::Untrusted(_)), "{error:?}"),
    }
}

#[tokio::test]
async fn what_a_certificate_request_asks_for_is_ignored() {
    let cluster = Cluster::new();
    let pair = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["supernode.meganeura".to_owned()]).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&pair).expect("a request").der().to_vec();
    let issued = cluster.authority.issue(&csr, Role::Node, "n1", DAY).expect("issued");
    let key = Key { pair, csr };
    // As a server it is a node, whatever it asked for.
    let config = client(&issued, Some((&key, &issued)), wire::ALPN);
    let supernode = cluster.supernode();
    let endpoint = supernode.clone();
    let accepted = tokio::spawn(async move { endpoint.accept().await });
    let _ = tokio::time::timeout(
        Duration::from_secs(1),
        gets_in_by_quic(&supernode, SUPERNODE, config),
    )
    .await;
    let connection = soon(accepted).await.expect("ran").expect("accepted");
    let node = PeerIdentity::new(Role::Node, "n1").expect("a name");
    assert_eq!(connection.peer(), &node);
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.certificate).expect("readable");
    assert!(!parsed.is_ca());
    let names = parsed.subject_alternative_name().expect("readable").expect("there");
    assert!(!format!("{names:?}").contains("supernode"));
}

/// A member that talks without our library's manners.
pub(crate) async fn raw_member(
    cluster: &Cluster,
    to: &Endpoint,
) -> (quinn::Endpoint, quinn::Connection) {
    let key = Key::new();
    let issued = cluster.authority.issue(&key.csr, Role::Node, "raw", DAY).expect("issued");
    let config = client(&issued, Some((&key, &issued)), wire::ALPN);
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).expect("TLS 1.3");
    let client = quinn::Endpoint::client(local()).expect("a socket");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connection = client
        .connect_with(config, to.local_addr(), "node.meganeura")
        .expect("configured")
        .await
        .expect("open");
    (client, connection)
}
