//! Those who talk nonsense, or nothing at all.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{Endpoint, Limits, TransportError};
use wire::control::Unwant;

use crate::rig::{
    Cluster, address, echoes, message, node, pattern, request, serve, serve_echo, soon,
};

fn hasty() -> Limits {
    Limits {
        request_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
        ..Limits::default()
    }
}

#[tokio::test]
async fn garbage_on_the_ports_changes_nothing() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node_with("b", hasty()));
    serve_echo(&b);
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for round in 0..300_usize {
        let mut packet = pattern(round * 4 + 1).to_vec();
        // Long headers of QUIC, versions known and unknown, and other bytes.
        packet[0] ^= if round % 2 == 0 { 0xc3 } else { 0x40 };
        udp.send_to(&packet, b.local_addr()).await.expect("sent");
    }
    for round in 0..20_usize {
        let mut tcp = tokio::net::TcpStream::connect(b.local_addr()).await.expect("open");
        let _ = tcp.write_all(&pattern(round * 50)).await;
        if round % 2 == 0 {
            let _ = soon(tcp.read(&mut [0; 16])).await;
        }
    }
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    assert!(echoes(&connection).await);
    let mut bulk = soon(connection.open_bulk(&request("x"))).await.expect("open");
    assert!(bulk.is_tcp());
    soon(bulk.send(&message("x"))).await.expect("sent");
    assert_eq!(soon(bulk.recv()).await.expect("readable"), Some(message("x")));
}

#[tokio::test]
async fn silent_handshakes_do_not_pile_up() {
    let cluster = Cluster::new();
    let limits = Limits {
        handshake_timeout: Duration::from_millis(300),
        max_handshakes: 8,
        ..Limits::default()
    };
    let (a, b) = (cluster.node("a"), cluster.node_with("b", limits));
    serve_echo(&b);
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(tokio::net::TcpStream::connect(b.local_addr()).await.expect("open"));
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    assert!(echoes(&connection).await);
    let bulk = soon(connection.open_bulk(&request("x"))).await.expect("open");
    assert!(bulk.is_tcp(), "there is room for TCP again");
    for mut tcp in silent {
        let end = soon(tcp.read(&mut [0; 16])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "closed by the other side");
    }
}

/// A member that talks to `to` without our library's manners.
async fn raw(cluster: &Cluster, to: &Endpoint) -> (quinn::Endpoint, quinn::Connection) {
    crate::trust::raw_member(cluster, to).await
}

#[tokio::test]
async fn a_stream_without_a_request_is_closed_and_no_other() {
    let cluster = Cluster::new();
    let b = cluster.node_with("b", hasty());
    serve_echo(&b);
    let (_client, connection) = soon(raw(&cluster, &b)).await;
    let started = Instant::now();
    let (mut silent, mut nothing) = connection.open_bi().await.expect("open");
    // One byte of a length: the stream exists, the request never comes.
    silent.write_all(&[0]).await.expect("sent");
    let (mut good, mut answer) = connection.open_bi().await.expect("open");
    good.write_all(&wire::frame::to_bytes(&request("x"))).await.expect("sent");
    good.write_all(&wire::frame::to_bytes(&message("x"))).await.expect("sent");
    soon(answer.read_exact(&mut [0; 5])).await.expect("an answer");
    assert!(started.elapsed() < Duration::from_millis(1500), "not held up by the silent one");

    let end = soon(nothing.read(&mut [0; 1])).await;
    assert!(matches!(end, Err(quinn::ReadError::Reset(_))), "{end:?}");
    assert!(started.elapsed() >= Duration::from_millis(1900), "it had its time");
    good.write_all(&wire::frame::to_bytes(&message("y"))).await.expect("sent");
    soon(answer.read_exact(&mut [0; 5])).await.expect("the other goes on");
}

#[tokio::test]
async fn a_first_message_that_is_none_closes_its_stream() {
    let cluster = Cluster::new();
    let b = cluster.node("b");
    serve_echo(&b);
    let (_client, connection) = soon(raw(&cluster, &b)).await;
    for garbage in
        [&[0xff, 0xff, 0xff, 0xff][..], &[0, 0x20, 0, 0][..], &[0, 0, 0, 2, 0xff, 0xff][..]]
    {
        let (mut send, mut recv) = connection.open_bi().await.expect("open");
        send.write_all(garbage).await.expect("sent");
        let end = soon(recv.read(&mut [0; 1])).await;
        assert!(matches!(end, Err(quinn::ReadError::Reset(_))), "{end:?}");
    }
    let (mut good, mut answer) = connection.open_bi().await.expect("open");
    good.write_all(&wire::frame::to_bytes(&request("x"))).await.expect("sent");
    good.write_all(&wire::frame::to_bytes(&message("x"))).await.expect("sent");
    soon(answer.read_exact(&mut [0; 5])).await.expect("the connection goes on");
}

#[tokio::test]
async fn a_message_that_announces_too_much_is_refused() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve(&b, |_, _, mut stream| async move {
        let long = bytes::Bytes::from_static(&[0xff; 8]);
        stream.send_bytes(long).await.expect("sent");
        stream.finish();
    });
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    for bulk in [false, true] {
        let mut stream = match bulk {
            true => soon(connection.open_bulk(&request(""))).await.expect("open"),
            false => soon(connection.open(&request(""))).await.expect("open"),
        };
        let error = soon(stream.recv::<Unwant>()).await.expect_err("too long");
        assert!(matches!(error, TransportError::Frame(_)), "{error:?}");
        assert!(!error.is_transient());
    }
    let mut stream = soon(connection.open(&request(""))).await.expect("open");
    let long = message(&"x".repeat(wire::frame::MAX_FRAME + 1));
    assert!(matches!(soon(stream.send(&long)).await, Err(TransportError::Frame(_))));
}

#[tokio::test]
async fn an_end_within_a_message_is_no_orderly_end() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve(&b, |_, _, mut stream| async move {
        let half = wire::frame::to_bytes(&message("a long message")).slice(..9);
        stream.send_bytes(half).await.expect("sent");
        stream.finish();
    });
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let mut stream = soon(connection.open(&request(""))).await.expect("open");
    let error = soon(stream.recv::<Unwant>()).await.expect_err("cut");
    assert!(matches!(error, TransportError::Truncated), "{error:?}");
}
