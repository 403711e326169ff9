//! Life without the supernode.

use std::time::Duration;

use testbed::{Bed, Fault, FaultyRegistry, Image};

const MIB: usize = 1 << 20;

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
        // In the middle, however slow the machine is: each node has half of it.
        for node in &nodes {
            while node.received("supernode").await? + node.received("peer").await? < 14 * MIB as u64
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        supernode.kill()?;
        registry.set(Fault::None);
        anyhow::Ok(())
    };
    let (killed, a, b, c) = tokio::join!(
        kill,
        nodes[0].pull(&host, "app", "v1"),
        nodes[1].pull(&host, "app", "v1"),
        nodes[2].pull(&host, "app", "v1"),
    );
    killed?;
    for pulled in [a?, b?, c?] {
        assert!(pulled == image.layers());
    }
    // What some node held when the supernode died was not fetched from the origin again.
    for node in &nodes {
        let origin = node.received("origin").await?;
        assert!(origin < 24 * MIB as u64, "{origin} bytes came from the origin");
    }

    // Back again, with nothing on its disk, it knows within seconds who holds what.
    supernode.forget()?;
    supernode.start().await?;
    supernode.until_nodes(3).await?;
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
