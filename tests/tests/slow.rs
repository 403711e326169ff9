//! Clients that read slowly: they cost neither memory nor other clients' time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use content::BlobHasher;
use http::Method;
use testbed::{Bed, Fault, FaultyRegistry, Image, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;

/// More than a process may hold of it.
const LARGE: usize = 512 * MIB;

/// What the node and the supernode may hold beside what they hold when nothing happens, in bytes:
/// pieces in flight, windows of connections, buffers of the disk and the allocator.
const GROWTH: u64 = 128 << 20;

const SLOW_CLIENTS: usize = 4;

/// Bytes that cost nothing to make: each MiB begins with its number.
fn cheap(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    for (number, part) in bytes.chunks_mut(MIB).enumerate() {
        part[..8].copy_from_slice(&(number as u64).to_be_bytes());
    }
    bytes.into()
}

/// Reads the blob at a trickle, about 40 KB/s, and says what came when it is told to stop.
async fn trickle(
    node: std::net::SocketAddr,
    target: String,
    stop: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(node).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut got = Vec::new();
    while !*stop.borrow() {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await?;
        anyhow::ensure!(read > 0, "the answer ended after {} bytes", got.len());
        got.extend_from_slice(&part[..read]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(got)
}

/// Reads the blob as fast as it comes; whether it is the right one.
async fn read_all(node: &Node, target: &str) -> anyhow::Result<content::Digest> {
    use http_body_util::BodyExt;
    let answer = testbed::web::open(node.mirror(), Method::GET, target, &[], Bytes::new()).await?;
    let mut body = answer.into_body();
    let mut hasher = BlobHasher::new();
    while let Some(frame) = body.frame().await {
        hasher.update(frame?.data_ref().unwrap_or(&Bytes::new()));
    }
    Ok(hasher.finish())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_cost_no_memory_and_hold_nobody_up() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::of(vec![cheap(LARGE)]);
    let layer = image.layer(0);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    supernode.until_nodes(1).await?;
    let memory = async || {
        let node = node.metric("meganeura_dfdaemon_process_anonymous_memory_bytes").await?;
        let name = "meganeura_supernode_process_anonymous_memory_bytes";
        anyhow::Ok((node, supernode.metric(name).await?))
    };
    let before = memory().await?;

    let target = format!("/v2/app/blobs/{layer}?ns={}", registry.host());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let slow: Vec<_> = (0..SLOW_CLIENTS)
        .map(|_| tokio::spawn(trickle(node.mirror(), target.clone(), stopped.clone())))
        .collect();
    // They are under way before anybody else comes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    let fast = read_all(&node, &target);
    tokio::pin!(fast);
    let mut most = (0, 0);
    let read = loop {
        let now = memory().await?;
        most = (most.0.max(now.0), most.1.max(now.1));
        tokio::select! {
            read = &mut fast => break read?,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "it is held up");
    };
    assert_eq!(read, layer);
    let grown = (most.0.saturating_sub(before.0), most.1.saturating_sub(before.1));
    println!(
        "512 MiB beside {SLOW_CLIENTS} slow clients in {:?}; node +{} MiB, supernode +{} MiB",
        started.elapsed(),
        grown.0 >> 20,
        grown.1 >> 20
    );
    assert!(grown.0 < GROWTH, "the node grew by {} bytes", grown.0);
    assert!(grown.1 < GROWTH, "the supernode grew by {} bytes", grown.1);

    // The slow ones are still served, with the right bytes.
    stop.send_replace(true);
    let right = &image.layers()[0];
    for client in slow {
        let got = client.await??;
        let head = got.windows(4).position(|at| at == b"\r\n\r\n");
        let head = head.ok_or_else(|| anyhow::anyhow!("no answer"))? + 4;
        assert!(got[..head].starts_with(b"HTTP/1.1 200"), "{:?}", &got[..head]);
        let body = &got[head..];
        assert!(body.len() > 8192 && *body == right[..body.len()], "{} bytes", body.len());
    }
    Ok(())
}
