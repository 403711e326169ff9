//! Several nodes pull at once, from a real registry: the origin gives one copy.

use std::time::Duration;

use testbed::{Bed, Image};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_pull_at_once_cost_the_origin_one_copy() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    // A layer of many pieces, one of a few, one of a single piece, an empty one.
    let image = Image::random(&[24 * MIB + 12_345, 3 * MIB, 40_000, 0]);
    registry.push("demo/app", "v1", &image).await?;
    // A source that is not faster than everything else, as in a real cluster.
    let slow = "nodes.upload_limit = \"10MiB/s\"";
    let supernode = bed.supernode_with(&registry.site(), slow).await?;
    let nodes = [
        bed.node("n1", &supernode).await?,
        bed.node("n2", &supernode).await?,
        bed.node("n3", &supernode).await?,
    ];
    let host = registry.host();
    let (a, b, c) = tokio::join!(
        nodes[0].pull(&host, "demo/app", "v1"),
        nodes[1].pull(&host, "demo/app", "v1"),
        nodes[2].pull(&host, "demo/app", "v1"),
    );
    for pulled in [a?, b?, c?] {
        assert!(pulled == image.layers(), "the layers are not what was pushed");
    }
    let blobs = registry.gets("/blobs/");
    assert_eq!(registry.blob_bytes(), image.size(), "{blobs:#?}");
    assert_eq!(blobs.len(), 5, "one GET a blob: {blobs:#?}");
    assert_eq!(registry.gets("/manifests/").len(), 1);
    let mut from_peers = 0;
    for node in &nodes {
        assert_eq!(node.received("origin").await?, 0);
        from_peers += node.received("peer").await?;
        let verified = node.metric("meganeura_dfdaemon_blobs_verified_total").await?;
        assert_eq!(verified, 5);
    }
    assert!(from_peers > 10 * MIB as u64, "peers gave only {from_peers} bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_late_and_one_that_comes_back_cost_nothing() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[5 * MIB, 100_000]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut first = bed.node("n1", &supernode).await?;
    first.pull(&registry.host(), "demo/app", "v1").await?;
    let before = registry.blob_bytes();

    first.kill()?;
    first.start().await?;
    let pulled = first.pull(&registry.host(), "demo/app", "v1").await?;
    assert!(pulled == image.layers());
    // Back again, it has everything in its own store.
    assert!(first.received("supernode").await? < MIB as u64);
    assert!(first.received("store").await? >= image.size() - MIB as u64);

    let late = bed.node("n2", &supernode).await?;
    let pulled = late.pull(&registry.host(), "demo/app", "v1").await?;
    assert!(pulled == image.layers());
    assert_eq!(registry.blob_bytes(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_that_lost_its_memory_has_the_swarm_back() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[6 * MIB, 200_000]);
    registry.push("demo/app", "v1", &image).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let first = bed.node("n1", &supernode).await?;
    first.pull(&registry.host(), "demo/app", "v1").await?;
    let before = registry.blob_bytes();

    supernode.kill()?;
    supernode.forget()?;
    supernode.start().await?;
    supernode.until_nodes(1).await?;
    let late = bed.node("n2", &supernode).await?;
    let pulled = late.pull(&registry.host(), "demo/app", "v1").await?;
    assert!(pulled == image.layers());
    let layer = registry.gets(&image.layer(0).to_string());
    assert_eq!(layer.len(), 1, "the big layer came from the origin again: {layer:#?}");
    assert!(registry.blob_bytes() - before < MIB as u64);
    assert!(late.received("peer").await? >= 6 * MIB as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_in_the_middle_harms_nobody() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[64 * MIB]);
    registry.push("demo/app", "v1", &image).await?;
    let slow = "nodes.upload_limit = \"20MiB/s\"";
    let supernode = bed.supernode_with(&registry.site(), slow).await?;
    let mut dying = bed.node("n1", &supernode).await?;
    let living = bed.node("n2", &supernode).await?;
    let host = registry.host();
    let (mirror, target) =
        (dying.mirror(), format!("/v2/demo/app/blobs/{}?ns={host}", image.layer(0)));
    let doomed = tokio::spawn(async move { testbed::web::get(mirror, &target, &[]).await });
    let pull = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        dying.kill()?;
        anyhow::Ok(())
    };
    let (pulled, killed) = tokio::join!(living.pull(&host, "demo/app", "v1"), pull);
    killed?;
    assert!(pulled? == image.layers());
    let ended = doomed.await?;
    assert!(ended.is_err() || ended.is_ok_and(|answer| !answer.complete));
    assert_eq!(registry.gets(&image.layer(0).to_string()).len(), 1);
    Ok(())
}
