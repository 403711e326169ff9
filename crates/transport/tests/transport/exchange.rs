//! Messages and bytes, both ways, over QUIC and TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use transport::{Expect, Limits, PeerIdentity, Role, Stream, TransportError};
use wire::control::Unwant;

use crate::rig::{
    Cluster, address, echoes, message, node, pattern, request, serve, serve_bytes, serve_echo, soon,
};

async fn read(stream: &mut Stream, length: usize) -> Bytes {
    let mut all = BytesMut::new();
    while all.len() < length {
        let part = stream.recv_bytes(length - all.len()).await.expect("readable");
        all.extend_from_slice(&part.expect("not the end"));
    }
    all.freeze()
}

#[tokio::test]
async fn messages_and_bytes_travel_both_ways_in_order() {
    let cluster = Cluster::new();
    let (supernode, n1) = (cluster.supernode(), cluster.node("n1"));
    let bytes = pattern(3_000_001);
    let expected = bytes.clone();
    serve(&supernode, move |connection, asked, mut stream| {
        let expected = expected.clone();
        async move {
            assert_eq!(asked, request("r1"));
            assert_eq!(connection.peer(), &PeerIdentity::new(Role::Node, "n1").expect("a name"));
            assert_eq!(stream.recv().await.expect("readable"), Some(message("before")));
            assert_eq!(read(&mut stream, expected.len()).await, expected);
            assert_eq!(stream.recv().await.expect("readable"), Some(message("after")));
            assert_eq!(stream.recv::<Unwant>().await.expect("the end"), None);
            stream.send(&message("answer")).await.expect("sent");
            stream.send_bytes(expected).await.expect("sent");
            stream.send(&Unwant::default()).await.expect("sent");
            stream.finish();
        }
    });
    let connection = soon(n1.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    assert_eq!(connection.peer().to_string(), "supernode s1");
    soon(async {
        let mut stream = connection.open(&request("r1")).await.expect("open");
        stream.send(&message("before")).await.expect("sent");
        stream.send_bytes(bytes.clone()).await.expect("sent");
        stream.send(&message("after")).await.expect("sent");
        stream.finish();
        assert_eq!(stream.recv().await.expect("readable"), Some(message("answer")));
        assert_eq!(read(&mut stream, bytes.len()).await, bytes);
        assert_eq!(stream.recv().await.expect("readable"), Some(Unwant::default()));
        assert_eq!(stream.recv::<Unwant>().await.expect("the end"), None);
        assert_eq!(stream.recv_bytes(1).await.expect("the end"), None);
    })
    .await;
}

#[tokio::test]
async fn halves_of_a_stream_work_apart() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve_echo(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let (mut send, mut recv) = connection.open(&request("")).await.expect("open").split();
    let sending = tokio::spawn(async move {
        for number in 0..1000 {
            send.send(&message(&number.to_string())).await.expect("sent");
        }
        send.finish();
    });
    soon(async {
        for number in 0..1000 {
            let back: Unwant = recv.recv().await.expect("readable").expect("a message");
            assert_eq!(back, message(&number.to_string()));
        }
        assert_eq!(recv.recv::<Unwant>().await.expect("the end"), None);
        sending.await.expect("sent");
    })
    .await;
}

#[tokio::test]
async fn who_was_dialled_may_ask_too() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let other_end = soon(b.accept()).await.expect("accepted");
    let asking = async {
        let mut stream = other_end.open(&request("from b")).await.expect("open");
        stream.finish();
        stream.recv::<Unwant>().await.expect("readable").expect("an answer")
    };
    let answering = async {
        let (asked, mut stream) = connection.accept().await.expect("a stream");
        assert_eq!(asked, request("from b"));
        stream.send(&message("from a")).await.expect("sent");
        stream.done();
    };
    let (answer, ()) = soon(async { tokio::join!(asking, answering) }).await;
    assert_eq!(answer, message("from a"));
}

/// One bulk exchange; whether it went over TCP, and from where the server saw it.
async fn bulk(connection: &transport::Connection, length: usize) -> (bool, String) {
    let mut stream = connection.open_bulk(&request(&length.to_string())).await.expect("open");
    let over_tcp = stream.is_tcp();
    let from: Unwant = stream.recv().await.expect("readable").expect("a message");
    assert_eq!(read(&mut stream, length).await, pattern(length));
    stream.done();
    (over_tcp, from.task)
}

#[tokio::test]
async fn bulk_bytes_go_over_tcp_and_the_socket_is_used_again() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve_bytes(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let (over_tcp, first) = soon(bulk(&connection, 2_000_003)).await;
    assert!(over_tcp);
    for _ in 0..20 {
        let (over_tcp, from) = soon(bulk(&connection, 10)).await;
        assert!(over_tcp);
        assert_eq!(from, first, "the same socket carries the next request");
    }
    // Beside each other they need sockets of their own.
    let ((_, one), (_, two)) =
        soon(async { tokio::join!(bulk(&connection, 3_000_000), bulk(&connection, 3_000_000)) })
            .await;
    assert_ne!(one, two);
}

#[tokio::test]
async fn a_bulk_stream_that_is_given_up_harms_no_other() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve_bytes_or_leave(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    soon(async {
        let mut stream = connection.open_bulk(&request("50000000")).await.expect("open");
        assert!(stream.is_tcp());
        stream.recv::<Unwant>().await.expect("readable").expect("a message");
        stream.recv_bytes(1000).await.expect("readable").expect("bytes");
        drop(stream);
        let (over_tcp, _) = bulk(&connection, 1_000_000).await;
        assert!(over_tcp);
    })
    .await;
}

fn serve_bytes_or_leave(endpoint: &transport::Endpoint) {
    serve(endpoint, |_, asked, mut stream| async move {
        let length: usize = asked.request_id.parse().expect("a number");
        if stream.send(&message("")).await.is_ok()
            && stream.send_bytes(pattern(length)).await.is_ok()
        {
            stream.done();
        }
    });
}

#[tokio::test]
async fn an_answer_that_is_given_up_never_looks_complete() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve(&b, |_, _, mut stream| async move {
        stream.send(&message("half")).await.expect("sent");
        // Dropped without an end.
    });
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    for bulk in [false, true] {
        let mut stream = soon(async {
            match bulk {
                true => connection.open_bulk(&request("")).await,
                false => connection.open(&request("")).await,
            }
        })
        .await
        .expect("open");
        assert_eq!(stream.is_tcp(), bulk);
        let end = soon(async {
            loop {
                match stream.recv::<Unwant>().await {
                    Ok(Some(_)) => {}
                    end => return end,
                }
            }
        })
        .await;
        assert!(matches!(end, Err(TransportError::Abandoned)), "{end:?}");
    }
}

#[tokio::test]
async fn without_tcp_bulk_bytes_go_over_quic() {
    let cluster = Cluster::new();
    let without = Limits { bulk_over_tcp: false, ..Limits::default() };
    for (asker, asked) in
        [(Limits::default(), without.clone()), (without.clone(), Limits::default())]
    {
        let (a, b) = (cluster.node_with("a", asker), cluster.node_with("b", asked));
        serve_bytes(&b);
        let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
        for _ in 0..2 {
            let (over_tcp, _) = soon(bulk(&connection, 2_000_003)).await;
            assert!(!over_tcp);
        }
    }
}

#[tokio::test]
async fn an_idle_socket_that_died_is_replaced() {
    let cluster = Cluster::new();
    let impatient = Limits {
        idle_timeout: Duration::from_millis(300),
        keep_alive: Duration::from_millis(50),
        ..Limits::default()
    };
    let (a, b) = (cluster.node("a"), cluster.node_with("b", impatient));
    serve_bytes(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let (_, first) = soon(bulk(&connection, 10)).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let (over_tcp, second) = soon(bulk(&connection, 10)).await;
    assert!(over_tcp);
    assert_ne!(first, second, "the asked has closed the first");
}

#[tokio::test]
async fn somebody_else_on_the_tcp_port_gets_no_request() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let without = Limits { bulk_over_tcp: false, ..Limits::default() };
    let (a, b) = (cluster.node("a"), cluster.node_with("b", without));
    serve_bytes(&b);
    // Its UDP port is taken, so only TCP is its own.
    let thief = other.identity(Role::Node, "b");
    let thief = thief_on_tcp(b.local_addr(), thief);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let (over_tcp, _) = soon(bulk(&connection, 10)).await;
    assert!(!over_tcp);
    assert!(soon(thief).await.expect("ran"), "it was asked, and not believed");
}

/// Answers one TLS handshake at `port` with another cluster's identity; whether it failed.
fn thief_on_tcp(
    port: std::net::SocketAddr,
    identity: transport::Identity,
) -> tokio::task::JoinHandle<bool> {
    let listener = std::net::TcpListener::bind(port).expect("free");
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("identity");
    identity.save(&path).expect("saved");
    let text = std::fs::read_to_string(&path).expect("readable");
    let kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let pem = |field: &str| kept[field].as_str().expect("text").as_bytes().to_vec();
    let chain = vec![CertificateDer::from_pem_slice(&pem("certificate")).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(&pem("key")).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("usable");
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("asked");
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await.is_err()
    })
}

#[tokio::test]
async fn more_bulk_than_sockets_goes_over_quic() {
    let cluster = Cluster::new();
    let a = cluster.node_with("a", Limits { max_bulk_per_peer: 1, ..Limits::default() });
    let b = cluster.node("b");
    serve_bytes(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let ((one, _), (two, _)) =
        soon(async { tokio::join!(bulk(&connection, 3_000_000), bulk(&connection, 3_000_000)) })
            .await;
    assert!(one != two, "one over TCP, one over QUIC");
}

#[tokio::test]
async fn one_connection_serves_all_who_want_it() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    let accepted = Arc::new(AtomicUsize::new(0));
    let (count, port) = (Arc::clone(&accepted), b.clone());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(connection) = port.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            kept.push(connection);
        }
    });
    let mut dialling = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (a, to) = (a.clone(), address(&b));
        dialling.spawn(async move { a.connect(&to, node("b")).await.expect("open") });
    }
    let all = soon(dialling.join_all()).await;
    soon(a.connect(&address(&b), node("b"))).await.expect("open");
    // The dialled sees a connection a little later than the one that dials.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    // A closed one is replaced.
    all[0].close("enough");
    soon(all[1].closed()).await;
    assert!(all[1].is_closed());
    let again = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    assert!(!again.is_closed());
}

#[tokio::test]
async fn a_closed_endpoint_tells_its_peers() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve_echo(&b);
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    assert!(echoes(&connection).await);
    soon(b.close()).await;
    soon(connection.closed()).await;
    assert!(soon(b.accept()).await.is_none());
    assert!(matches!(soon(b.connect(&address(&a), node("a"))).await, Err(TransportError::Closed)));
    let error = connection.open(&request("")).await.expect_err("closed");
    assert!(matches!(error, TransportError::Closed), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn names_are_resolved_and_what_cannot_be_reached_is_told() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve_echo(&b);
    let port = b.local_addr().port();
    let connection = soon(a.connect(&format!("localhost:{port}"), node("b"))).await.expect("open");
    assert!(echoes(&connection).await);
    for wrong in ["no port", "does-not-exist.invalid:1"] {
        let error = soon(a.connect(wrong, node("b"))).await.expect_err("no address");
        assert!(matches!(error, TransportError::Address { .. }), "{error:?}");
    }
}
