//! Strangers at every door: what is no request changes nothing, and holds nothing up.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use testbed::{Bed, Fault, FaultyRegistry, Image, Node, Supernode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixStream};

/// So many connections that say nothing, or half of something, are held open at each door.
const SILENT: usize = 100;

struct Rig {
    _bed: Bed,
    registry: FaultyRegistry,
    supernode: Supernode,
    node: Node,
    image: Image,
}

async fn rig() -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let image = Image::random(&[3 << 20, 2 << 20]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    supernode.until_nodes(1).await?;
    Ok(Rig { _bed: bed, registry, supernode, node, image })
}

impl Rig {
    /// The doors that speak TCP: HTTP, and TLS between members.
    fn tcp(&self) -> [SocketAddr; 5] {
        let node = [self.node.mirror(), self.node.admin(), self.node.peers()];
        let [mirror, admin, peers] = node;
        [mirror, admin, peers, self.supernode.http(), self.supernode.nodes()]
    }

    /// The same processes still do their work, through the swarm.
    async fn works(&mut self, layer: usize) -> anyhow::Result<()> {
        let host = self.registry.host();
        let pull = self.node.blob(&host, "app", self.image.layer(layer));
        let answer = tokio::time::timeout(Duration::from_secs(20), pull).await??;
        assert!(answer.complete && answer.body == self.image.layers()[layer]);
        assert_eq!(self.node.received("origin").await?, 0, "the node had to help itself");
        self.supernode.until_nodes(1).await?;
        let local = UnixStream::connect(self.node.socket()).await;
        assert!(local.is_ok(), "the local door is shut: {local:?}");
        let logs = [self.node.log(), self.supernode.log()];
        for (process, log) in [self.node.process(), self.supernode.process()].into_iter().zip(logs)
        {
            assert!(process.is_some_and(|process| process.is_running()), "it ended:\n{log}");
            assert!(!log.contains("panicked"), "{log}");
        }
        Ok(())
    }
}

/// What no door understands.
fn rubbish() -> Vec<Bytes> {
    let line = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(2 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(100_000));
    vec![
        testbed::image::random(3000),
        Bytes::from_static(&[0; 5000]),
        Bytes::from_static(&[0xff; 5000]),
        line("\r\n\r\n\r\n"),
        line("GET\r\n\r\n"),
        line("GET /v2/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        line("GET /v2/%00/blobs/sha256:%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
        line(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ),
        line("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
        line("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        long.into(),
        many.into(),
        // The beginning of a TLS hello that says it is longer than it is.
        Bytes::from_static(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xfc]),
    ]
}

/// Says it, and waits a moment for whatever the answer is.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, what: Bytes) {
    let talk = async {
        let _ = stream.write_all(&what).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), talk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_port_harms_nobody() -> anyhow::Result<()> {
    let mut rig = rig().await?;
    let mut saying = tokio::task::JoinSet::new();
    for what in rubbish() {
        for address in rig.tcp() {
            let stream = TcpStream::connect(address).await?;
            saying.spawn(say(stream, what.clone()));
        }
        saying.spawn(say(UnixStream::connect(rig.node.socket()).await?, what));
    }
    saying.join_all().await;
    for address in [rig.node.peers(), rig.supernode.nodes()] {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        for size in [0, 1, 20, 1200, 1472, 60_000] {
            for _ in 0..20 {
                let mut datagram = testbed::image::random(size).to_vec();
                socket.send_to(&datagram, address).await?;
                // As if it were the first of a QUIC connection, version 1.
                let head = [0xc3, 0, 0, 0, 1, 8];
                datagram.iter_mut().zip(head).for_each(|(byte, head)| *byte = head);
                socket.send_to(&datagram, address).await?;
            }
        }
    }
    rig.works(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_at_every_port_hold_nobody_up() -> anyhow::Result<()> {
    let mut rig = rig().await?;
    let mut held = Vec::new();
    let mut held_local = Vec::new();
    for number in 0..SILENT {
        let half: &[u8] = if number % 2 == 0 { b"" } else { b"GET /v2/ HTTP/1.1\r\nHo" };
        for address in rig.tcp() {
            let mut stream = TcpStream::connect(address).await?;
            let _ = stream.write_all(half).await;
            held.push(stream);
        }
        let mut stream = UnixStream::connect(rig.node.socket()).await?;
        let _ = stream.write_all(half).await;
        held_local.push(stream);
    }
    rig.works(1).await?;
    drop((held, held_local));
    Ok(())
}
