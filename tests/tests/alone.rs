//! Life without the supernode.

use std::time::Duration;

use testbed::{Bed, Fault, FaultyRegistry, Image};

const MIB: usize = 1 << 20;
const FROM_ORIGIN: &str = "meganeura_supernode_received_bytes_total{source=\"origin\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_killed_in_the_middle_of_three_pulls_stops_none_of_them() -> anyhow::Result<()>
{
    let bed = Bed::new()?;
    let image = Image::random(&[32 * MIB]);
    // Slow enough that the kill falls into the middle.
    let registry = FaultyRegistry::start(&image, Fault::Slow(8 * MIB)).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let nodes = [
        bed.node("n1", &supernode).await?,
        bed.node("n2", &supernode).await?,
        bed.node("n3", &supernode).await?,
    ];
    let host = registry.host();
    let kill = async {
        let mut passed = 0;
        while passed < 12 * MIB as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            passed = supernode.metric(FROM_ORIGIN).await?;
        }
        supernode.kill()?;
        anyhow::Ok(passed)
    };
    let (killed, a, b, c) = tokio::join!(
        kill,
        nodes[0].pull(&host, "app", "v1"),
        nodes[1].pull(&host, "app", "v1"),
        nodes[2].pull(&host, "app", "v1"),
    );
    let passed = killed?;
    for pulled in [a?, b?, c?] {
        assert!(pulled == image.layers());
    }
    // What some node held when the supernode died was not fetched from the origin again; and of the
    // rest the origin sent one copy to all three.
    let mut origin = 0;
    for node in &nodes {
        origin += node.received("origin").await?;
    }
    assert!(origin > 0, "the kill did not fall into the middle");
    // The supernode had some that no node had taken yet.
    let rest = image.size() - passed + 8 * MIB as u64;
    assert!(origin < rest, "{origin} bytes came from the origin after the kill, not {rest}");

    // Back again, with nothing on its disk, it knows within seconds who holds what.
    supernode.forget()?;
    supernode.start().await?;
    supernode.until_nodes(3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_leave_enough_to_share_its_blobs_without_a_supernode() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[12 * MIB, 6 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::Slow(6 * MIB)).await?;
    let host = registry.host();
    let mut supernode = bed.supernode(&registry.site()).await?;
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let node = bed.node(name, &supernode).await?;
        let manifest = format!("/v2/app/manifests/{}?ns={host}", image.digest());
        assert_eq!(node.get(&manifest, &[]).await?.status, 200);
        nodes.push(node);
    }
    // Nobody has asked for a blob yet.
    supernode.kill()?;
    let pulls = nodes.iter().map(|node| node.pull(&host, "app", "v1"));
    for pulled in futures_util::future::join_all(pulls).await {
        assert!(pulled? == image.layers());
    }
    let mut origin = 0;
    for node in &nodes {
        origin += node.received("origin").await?;
        assert_eq!(node.metric("meganeura_dfdaemon_pieces_rejected_total").await?, 0);
    }
    assert!(origin >= image.size(), "{origin}: the supernode had it already");
    assert!(origin < image.size() * 3 / 2, "{origin} of {} bytes", image.size());

    // A node that starts anew still knows its neighbours, and its leave to ask them.
    tokio::time::sleep(Duration::from_secs(6)).await;
    nodes[0].kill()?;
    nodes[0].forget()?;
    nodes[0].start().await?;
    assert!(nodes[0].pull(&host, "app", "v1").await? == image.layers());
    let again = nodes[0].received("origin").await?;
    assert!(
        again < MIB as u64,
        "{again} bytes came from the origin though the neighbours have all"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_and_serves_without_a_supernode_and_joins_when_it_comes() -> anyhow::Result<()>
{
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[3 * MIB, 50_000]);
    registry.push("demo/app", "v1", &image).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    supernode.kill()?;
    let node = bed.node("n1", &supernode).await?;
    let pulled = node.pull(&registry.host(), "demo/app", "v1").await?;
    assert!(pulled == image.layers());
    assert_eq!(node.received("origin").await?, image.size());
    supernode.start().await?;
    supernode.until_nodes(1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_supernode_a_private_image_stays_private() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().user("alice", "right").start().await?;
    let image = Image::random(&[MIB]);
    registry.push("private/app", "v1", &image).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    supernode.kill()?;
    let node = bed.node("n1", &supernode).await?;
    let host = registry.host();
    let alice = testbed::registry::basic("alice", "right");
    let headers = [("authorization", alice.as_str())];
    node.pull_as(&host, "private/app", "v1", &headers).await?;
    let stranger = node.blob(&host, "private/app", image.layer(0)).await?;
    assert_eq!(stranger.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_from_the_origin_are_found_without_a_supernode_too() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[3 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::FlippedBit).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    supernode.kill()?;
    let node = bed.node("n1", &supernode).await?;
    let host = registry.host();
    let answer = node.blob(&host, "app", image.layer(0)).await?;
    assert!(!(answer.status == 200 && answer.complete), "wrong bytes were given out as complete");
    registry.set(Fault::None);
    let answer = node.blob(&host, "app", image.layer(0)).await?;
    assert!(answer.complete && answer.body == image.layers()[0]);
    Ok(())
}
