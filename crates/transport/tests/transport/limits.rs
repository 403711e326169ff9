//! What an endpoint bears.

use std::time::Duration;

use bytes::Bytes;
use transport::{Connection, Expect, Limits, Stream, TransportError};
use wire::control::Unwant;

use crate::rig::{Cluster, address, echoes, message, node, request, serve, serve_echo, soon};

#[tokio::test]
async fn too_many_connections_are_refused_until_one_has_gone() {
    let cluster = Cluster::new();
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let supernode = cluster.supernode_with(limits);
    serve_echo(&supernode);
    let nodes: Vec<_> = (0..3).map(|number| cluster.node(&format!("n{number}"))).collect();
    let mut open = Vec::new();
    for node in &nodes[..2] {
        let connection = soon(node.connect(&address(&supernode), Expect::Supernode)).await;
        open.push(connection.expect("open"));
        assert!(echoes(&open[open.len() - 1]).await);
    }
    let error = soon(nodes[2].connect(&address(&supernode), Expect::Supernode)).await;
    let error = error.expect_err("full");
    assert!(error.is_transient(), "{error:?}");
    assert!(echoes(&open[0]).await, "those that are in stay in");
    open[1].close("leaving");
    soon(async {
        loop {
            let again = nodes[2].connect(&address(&supernode), Expect::Supernode).await;
            match again {
                Ok(connection) if echoes(&connection).await => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_comes_again_and_again_loses_its_oldest_connection() {
    let cluster = Cluster::new();
    let limits = Limits { max_connections_per_peer: 2, ..Limits::default() };
    let supernode = cluster.supernode_with(limits);
    serve_echo(&supernode);
    let other = cluster.node("other");
    let others = soon(other.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    let mut lives = Vec::new();
    for _ in 0..3 {
        // A new life of the same node, each time.
        let node = cluster.node("n1");
        let connection = soon(node.connect(&address(&supernode), Expect::Supernode)).await;
        let connection = connection.expect("open");
        assert!(echoes(&connection).await);
        lives.push((node, connection));
    }
    soon(lives[0].1.closed()).await;
    assert!(echoes(&lives[1].1).await);
    assert!(echoes(&lives[2].1).await);
    assert!(echoes(&others).await);
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let cluster = Cluster::new();
    let limits = Limits { unused_timeout: Duration::from_secs(1), ..Limits::default() };
    let (a, b) = (cluster.node_with("a", limits), cluster.node("b"));
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let other_end = soon(b.accept()).await.expect("accepted");
    let stream = soon(connection.open(&request("x"))).await.expect("open");
    drop(connection);
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!other_end.is_closed(), "a stream is a use");
    drop(stream);
    soon(other_end.closed()).await;
}

/// Sends until the peer takes no more; how much it took.
async fn fill(stream: &mut Stream) -> usize {
    let part = Bytes::from(vec![7; 64 * 1024]);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), stream.send_bytes(part.clone()))
        .await
        .is_ok_and(|sent| sent.is_ok())
    {
        sent += part.len();
        assert!(sent < 256 << 20, "nothing holds the sender back");
    }
    sent
}

async fn slow(bulk: bool) -> usize {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    serve(&b, |_, _, mut stream| async move {
        // Read one message, then nothing for long.
        let _ = stream.recv::<Unwant>().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let connection: Connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let mut stream = match bulk {
        true => connection.open_bulk(&request("")).await.expect("open"),
        false => connection.open(&request("")).await.expect("open"),
    };
    assert_eq!(stream.is_tcp(), bulk);
    stream.send(&message("x")).await.expect("sent");
    soon(fill(&mut stream)).await
}

#[tokio::test]
async fn a_slow_reader_holds_its_sender_back() {
    let limits = Limits::default();
    let windows =
        limits.stream_window as usize + usize::try_from(limits.send_window).expect("fits");
    let over_quic = slow(false).await;
    assert!(over_quic <= windows + (1 << 20), "{over_quic} bytes went nowhere");
    // TCP's windows are the kernel's: at most twice 4 to 8 MiB.
    let over_tcp = slow(true).await;
    assert!(over_tcp <= 32 << 20, "{over_tcp} bytes went nowhere");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_has_stalled() {
    let cluster = Cluster::new();
    let limits = Limits { stall_timeout: Duration::from_millis(500), ..Limits::default() };
    let (a, b) = (cluster.node_with("a", limits), cluster.node("b"));
    serve(&b, |_, _, stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let connection = soon(a.connect(&address(&b), node("b"))).await.expect("open");
    let mut stream = soon(connection.open(&request(""))).await.expect("open");
    let ended = soon(stream.send_bytes(Bytes::from(vec![0; 64 << 20]))).await;
    assert!(matches!(ended, Err(TransportError::Timeout)), "{ended:?}");
}
