//! How much one member may take of another: connections, requests, places, bytes a second.

use std::time::{Duration, Instant};

use testbed::{Bed, DockerRegistry, Hostile, Image, Manner, Node, Supernode};
use wire::data::Verdict;

const MIB: usize = 1 << 20;

struct Rig {
    bed: Bed,
    registry: DockerRegistry,
    supernode: Supernode,
    image: Image,
}

async fn rig(supernode: &str) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[16 * MIB]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode_with(&registry.site(), supernode).await?;
    Ok(Rig { bed, registry, supernode, image })
}

impl Rig {
    async fn greedy(&self) -> anyhow::Result<Hostile> {
        Hostile::join(&self.supernode, "greedy", Manner::Missing, bytes::Bytes::new()).await
    }

    /// How long a pull of the image takes.
    async fn pull(&self, node: &Node) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let host = self.registry.host();
        let pull = node.pull(&host, "demo/app", "v1");
        let pulled = tokio::time::timeout(Duration::from_secs(40), pull).await;
        let pulled = pulled.map_err(|_| anyhow::anyhow!("the pull hangs"))?;
        assert!(pulled? == self.image.layers());
        assert_eq!(node.received("origin").await?, 0, "the node had to help itself");
        Ok(started.elapsed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_so_many_connections_and_no_more() -> anyhow::Result<()> {
    let rig = rig("nodes.max_connections_per_node = 3").await?;
    let node = rig.bed.node("n1", &rig.supernode).await?;
    let greedy = rig.greedy().await?;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(greedy.connect_again().await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let open = held.iter().filter(|(_, connection)| !connection.is_closed()).count();
    assert_eq!(open, 3, "of 10 connections of one node");
    rig.pull(&node).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_have_so_many_connections_and_no_more() -> anyhow::Result<()> {
    let rig = rig("nodes.max_connections = 4").await?;
    let node = rig.bed.node("n1", &rig.supernode).await?;
    rig.supernode.until_nodes(1).await?;
    let greedy = rig.greedy().await?;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.extend(greedy.connect_again().await.ok());
    }
    // One that comes too many may learn it only after its handshake.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let open = held.iter().filter(|(_, connection)| !connection.is_closed()).count();
    assert_eq!(open, 2, "beside the node's connection and the greedy one's first");
    // Whoever is in stays in.
    rig.pull(&node).await?;
    assert_eq!(rig.supernode.metric("meganeura_supernode_nodes_ready").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_requests_under_way_and_no_more() -> anyhow::Result<()> {
    let rig = rig("nodes.max_streams = 8").await?;
    let node = rig.bed.node("n1", &rig.supernode).await?;
    let greedy = rig.greedy().await?;
    let mut held = Vec::new();
    // One stream is its own conversation; these say nothing, for which the supernode waits a while.
    let begun = async {
        loop {
            held.push(greedy.begin(bytes::Bytes::new()).await?);
        }
    };
    let begun: Result<anyhow::Result<()>, _> =
        tokio::time::timeout(Duration::from_secs(3), begun).await;
    assert!(begun.is_err(), "it was ended: {begun:?}");
    assert_eq!(held.len(), 7, "of a connection that may have 8");
    rig.pull(&node).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_nothing_does_not_keep_all_places() -> anyhow::Result<()> {
    let limits = "nodes.upload_slots = 8\nnodes.upload_slots_per_node = 3";
    let rig = rig(limits).await?;
    let first = rig.bed.node("n1", &rig.supernode).await?;
    rig.pull(&first).await?;
    drop(first);
    let greedy = rig.greedy().await?;
    let layer = rig.image.layer(0);
    let opened = greedy.open(&rig.registry.host(), "demo/app", layer).await?;
    let mut held = Vec::new();
    let mut busy = 0;
    for _ in 0..12 {
        match greedy.hold(&layer.to_string(), opened.ticket.clone()).await? {
            (Verdict::Follows, stream) => held.push(stream),
            (verdict, _) => {
                assert_eq!(verdict, Verdict::Busy);
                busy += 1;
            }
        }
    }
    assert_eq!((held.len(), busy), (3, 9));
    let second = rig.bed.node("n2", &rig.supernode).await?;
    let took = rig.pull(&second).await?;
    assert!(took < Duration::from_secs(10), "the greedy one held it up for {took:?}");
    drop(held);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_no_faster_than_they_may() -> anyhow::Result<()> {
    let rig = rig("nodes.upload_limit = \"8MiB/s\"").await?;
    let first = rig.bed.node("n1", &rig.supernode).await?;
    // 16 MiB, less what a bucket holds at first.
    let took = rig.pull(&first).await?;
    assert!(took > Duration::from_millis(1200), "sent in {took:?}");
    // From a node, to a node; both have a limit of their own.
    let slow = "peers.download_limit = \"4MiB/s\"";
    let second = rig.bed.node_with("n2", &rig.supernode, slow).await?;
    let took = rig.pull(&second).await?;
    assert!(took > Duration::from_millis(2500), "received in {took:?}");
    Ok(())
}
