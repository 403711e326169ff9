//! A disk that is too small, full or read-only ends keeping, and not pulling (docs/full-disk.md).

mod keep;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use keep::{Small, cache_json, tasks, until_ready};
use testbed::{Bed, Fault, FaultyRegistry, Image, Node, web};

const MIB: usize = 1 << 20;

/// Much more than the disks below take.
const BLOB: usize = 72 * MIB;

/// A file system too small for the blob, and large enough for an index.
const SMALL: &str = "14m";

const OFTEN: &str = "store.upkeep_every = \"500ms\"";

const ANONYMOUS: &str = "meganeura_dfdaemon_process_anonymous_memory_bytes";
const UNKEPT: &str = "meganeura_dfdaemon_unkept_bytes_total";
const ORIGIN: &str = "meganeura_supernode_received_bytes_total{source=\"origin\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_passes_on_what_its_disk_cannot_keep() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let Some(_small) = Small::mount(&bed.path().join("n1/state/store"), SMALL)? else {
        return Ok(());
    };
    let image = Image::random(&[BLOB, 300_000]);
    let registry = FaultyRegistry::start(&image, Fault::Slow(20 * MIB)).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node_with("n1", &supernode, OFTEN).await?;
    let host = registry.host();
    let before = node.metric(ANONYMOUS).await?;
    // While the disk takes no more, readiness says so.
    let (pulled, told) =
        tokio::join!(node.pull(&host, "app", "v1"), until_ready(node.admin(), 503));
    assert!(pulled? == image.layers());
    let told = told?;
    assert!(told.contains("\"store\":") && told.contains("without being kept"), "{told}");
    assert!(node.metric(UNKEPT).await? > BLOB as u64 / 2);
    let grown = node.metric(ANONYMOUS).await?.saturating_sub(before);
    assert!(grown < 200 * MIB as u64, "its memory grew by {grown} bytes");
    registry.set(Fault::None);

    // Again, by two at once, and a part of it.
    let (a, b) =
        tokio::join!(node.pull(&host, "app", "v1"), node.blob(&host, "app", image.layer(0)));
    let (a, b) = (a?, b?);
    assert!(a == image.layers() && b.complete && b.body == image.layers()[0]);
    part_of(&node, &host, &image, BLOB / 2..BLOB / 2 + 5 * MIB).await?;

    // Others are not harmed by what this one claimed and has no more.
    let other = bed.node("n2", &supernode).await?;
    assert!(other.pull(&host, "app", "v1").await? == image.layers());
    Ok(())
}

async fn part_of(
    node: &Node,
    host: &str,
    image: &Image,
    part: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    let target = format!("/v2/app/blobs/{}?ns={host}", image.layer(0));
    let range = format!("bytes={}-{}", part.start, part.end - 1);
    let answer = node.get(&target, &[("range", &range)]).await?;
    assert_eq!(answer.status, 206);
    assert!(answer.complete && answer.body == image.layers()[0].slice(part));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_feeds_nodes_with_what_its_disk_cannot_keep() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let Some(_small) = Small::mount(&bed.path().join("supernode/state/store"), SMALL)? else {
        return Ok(());
    };
    let image = Image::random(&[BLOB, 300_000]);
    let registry = FaultyRegistry::start(&image, Fault::Slow(20 * MIB)).await?;
    let supernode = bed.supernode_with(&registry.site(), OFTEN).await?;
    let nodes = [bed.node("n1", &supernode).await?, bed.node("n2", &supernode).await?];
    let host = registry.host();
    let (a, b, told) = tokio::join!(
        nodes[0].pull(&host, "app", "v1"),
        nodes[1].pull(&host, "app", "v1"),
        until_ready(supernode.http(), 503),
    );
    assert!(a? == image.layers() && b? == image.layers());
    let told = told?;
    assert!(told.contains("without being kept"), "{told}");
    // Nearly once for the whole cluster, for all that the cache keeps little.
    let origin = supernode.metric(ORIGIN).await?;
    assert!(origin < image.size() * 3 / 2, "{origin} bytes came from the origin");
    // And once more from the nodes, not from the origin.
    let late = bed.node("n3", &supernode).await?;
    assert!(late.pull(&host, "app", "v1").await? == image.layers());
    let more = supernode.metric(ORIGIN).await? - origin;
    assert!(more < image.size() / 2, "{more} bytes came from the origin once more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_neither_can_keep_it_the_client_has_it_all_the_same() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let places = ["supernode", "n1", "n2"].map(|name| bed.path().join(name).join("state/store"));
    let mut disks = Vec::new();
    for place in &places {
        let Some(small) = Small::mount(place, SMALL)? else {
            return Ok(());
        };
        disks.push(small);
    }
    let image = Image::random(&[BLOB]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let mut supernode = bed.supernode_with(&registry.site(), OFTEN).await?;
    let nodes = [bed.node("n1", &supernode).await?, bed.node("n2", &supernode).await?];
    let host = registry.host();
    assert!(nodes[0].pull(&host, "app", "v1").await.unwrap() == image.layers());
    let (a, b) = tokio::join!(nodes[0].pull(&host, "app", "v1"), nodes[1].pull(&host, "app", "v1"));
    assert!(a.unwrap() == image.layers() && b.unwrap() == image.layers());

    // Without a supernode too; and wrong bytes are never given out as complete.
    supernode.kill()?;
    registry.set(Fault::FlippedBit);
    let answer = nodes[0].blob(&host, "app", image.layer(0)).await?;
    let wrong = answer.status == 200 && answer.complete && answer.body != image.layers()[0];
    assert!(!wrong, "wrong bytes were given out as complete");
    registry.set(Fault::None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_its_own_passes_on_what_it_cannot_keep_and_nothing_wrong() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[BLOB]);
    let registry = FaultyRegistry::start(&image, Fault::FlippedBit).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    supernode.kill()?;
    let node = bed.node_with("n1", &supernode, "store.quota = \"6MiB\"").await?;
    let host = registry.host();
    for _ in 0..2 {
        let answer = node.blob(&host, "app", image.layer(0)).await?;
        assert!(!(answer.status == 200 && answer.complete), "wrong bytes were given out");
    }
    registry.set(Fault::None);
    assert!(node.pull(&host, "app", "v1").await? == image.layers());
    assert!(node.metric(UNKEPT).await? > BLOB as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_holds_nobody_up() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[BLOB]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node_with("n1", &supernode, "store.quota = \"6MiB\"").await?;
    let host = registry.host();
    let target = format!("/v2/app/blobs/{}?ns={host}", image.layer(0));
    let slow = web::open(node.mirror(), http::Method::GET, &target, &[], Bytes::new()).await?;
    let mut slow = slow.into_body();
    let mut read = Vec::new();
    while read.len() < MIB {
        let frame = slow.frame().await.expect("more")?;
        read.extend_from_slice(frame.data_ref().expect("bytes"));
    }
    // While it pauses, others get all of it.
    let pulled = tokio::time::timeout(Duration::from_secs(60), node.pull(&host, "app", "v1"));
    assert!(pulled.await?? == image.layers());
    // And when it goes on, it does too.
    while let Some(frame) = slow.frame().await {
        read.extend_from_slice(frame?.data_ref().expect("bytes"));
    }
    assert!(read == image.layers()[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_by_what_was_used_least_recently() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let sizes = [4, 12, 4, 4, 4, 4, 4, 4].map(|mib| mib * MIB);
    let image = Image::random(&sizes);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let options = format!("store.quota = \"28MiB\"\n{OFTEN}");
    let mut node = bed.node_with("n1", &supernode, &options).await?;
    let host = registry.host();
    // The first is pinned; the second, more than a socket holds, is being read all the time.
    let layers: Vec<_> = (0..8).map(|index| image.layer(index)).collect();
    assert!(node.blob(&host, "app", layers[0]).await?.complete);
    assert!(keep::cache(&node, &["pin", &layers[0].to_string()]).await?.success);
    let target = format!("/v2/app/blobs/{}?ns={host}", layers[1]);
    let open = web::open(node.mirror(), http::Method::GET, &target, &[], Bytes::new()).await?;
    let mut open = open.into_body();
    let mut read = Vec::new();
    read.extend_from_slice(open.frame().await.expect("more")?.data_ref().expect("bytes"));
    for (layer, bytes) in layers.iter().zip(image.layers()).skip(2) {
        let answer = node.blob(&host, "app", *layer).await?;
        assert!(answer.complete && answer.body == *bytes);
        let listing = cache_json(&node, &["ls"]).await?;
        assert!(listing["bytes"].as_u64() <= Some(28 * MIB as u64), "{listing}");
    }
    while let Some(frame) = open.frame().await {
        read.extend_from_slice(frame?.data_ref().expect("bytes"));
    }
    assert!(read == image.layers()[1]);
    cache_json(&node, &["gc"]).await?;
    let kept = tasks(&cache_json(&node, &["ls"]).await?);
    let has = |index: usize| kept.contains(&layers[index].to_string());
    assert!(has(0) && has(1) && has(7) && !has(2) && !has(3), "{kept:?}");
    // A restart keeps what there is, pins among it.
    keep::stop(&mut node).await?;
    node.start().await?;
    let listing = cache_json(&node, &["ls"]).await?;
    assert_eq!(tasks(&listing), kept);
    let pinned = |entry: &&serde_json::Value| entry["pinned"] == true;
    let pins: Vec<_> = listing["tasks"].as_array().expect("a list").iter().filter(pinned).collect();
    assert_eq!(pins.len(), 1, "{listing}");
    assert_eq!(tasks(&cache_json(&node, &["ls"]).await?).len(), kept.len());
    assert!(cache_json(&node, &["gc", "--to", "0"]).await?["left"] == 4 * MIB);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_fill_is_served_from_and_comes_back() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let place = bed.path().join("n1/state/store");
    let Some(_disk) = Small::mount(&place, "64m")? else {
        return Ok(());
    };
    let image = Image::random(&[3 * MIB, 5 * MIB, 50_000]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node_with("n1", &supernode, OFTEN).await?;
    let host = registry.host();
    assert!(node.blob(&host, "app", image.layer(0)).await?.complete);
    assert!(keep::cache(&node, &["pin", &image.layer(0).to_string()]).await?.success);
    let filler = fill(&place.join("filler"))?;
    // What is here is served, what is not is passed on; after a restart on the full disk too.
    for restarted in [false, true] {
        if restarted {
            node.kill()?;
            node.launch_unready().await?;
            until_ready(node.admin(), 503).await?;
            supernode.until_nodes(1).await?;
        }
        for _ in 0..2 {
            assert!(node.pull(&host, "app", "v1").await? == image.layers(), "{restarted}");
        }
        let told = until_ready(node.admin(), 503).await?;
        assert!(told.contains("the disk is full"), "{told}");
        assert_eq!(cache_json(&node, &["ls"]).await?["writable"], false);
    }
    std::fs::remove_file(filler)?;
    until_ready(node.admin(), 200).await?;
    assert!(node.pull(&host, "app", "v1").await? == image.layers());
    let kept = tasks(&cache_json(&node, &["ls"]).await?);
    assert!(kept.contains(&image.layer(0).to_string()), "{kept:?}");
    assert!(kept.contains(&image.layer(1).to_string()), "{kept:?}");
    Ok(())
}

/// Fills the file system to its last byte, until it stays so: what was removed before may be given
/// back late.
fn fill(path: &std::path::Path) -> anyhow::Result<std::path::PathBuf> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    let part = vec![1; 4096];
    let mut refused = 0;
    while refused < 50 {
        if file.write_all(&part).is_ok() {
            refused = 0;
        } else {
            refused += 1;
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    Ok(path.to_owned())
}
