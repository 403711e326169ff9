//! What goes wrong outside, and what the client sees of it.

use std::time::Duration;

use bytes::Bytes;
use testbed::{Bed, Fault, FaultyRegistry, Image, Node, Supernode};

const ORIGIN: &str = "meganeura_supernode_received_bytes_total{source=\"origin\"}";

struct Rig {
    _bed: Bed,
    registry: FaultyRegistry,
    supernode: Supernode,
    node: Node,
}

async fn rig(image: &Image, fault: Fault) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = FaultyRegistry::start(image, fault).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    Ok(Rig { _bed: bed, registry, supernode, node })
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_from_the_origin_are_never_a_complete_answer() -> anyhow::Result<()> {
    let image = Image::random(&[3 << 20, 50_000]);
    let rig = rig(&image, Fault::FlippedBit).await?;
    let host = rig.registry.host();
    for layer in [0, 1] {
        let answer = rig.node.blob(&host, "app", image.layer(layer)).await?;
        let whole = answer.status == 200 && answer.complete;
        assert!(!whole, "layer {layer} was given out though its last byte is wrong");
    }
    let expected = format!("expected {}, got sha256:", image.layer(0));
    assert!(rig.supernode.log().contains(&expected), "{}", rig.supernode.log());

    // Nothing of it is kept: once the origin is right again, so are we.
    rig.registry.set(Fault::None);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for layer in [0, 1] {
        let answer = rig.node.blob(&host, "app", image.layer(layer)).await?;
        assert!(answer.complete && answer.body == image.layers()[layer], "layer {layer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_cuts_off_is_resumed_at_the_byte() -> anyhow::Result<()> {
    let image = Image::random(&[5_000_000]);
    let rig = rig(&image, Fault::CutAfter(1_000_000)).await?;
    let answer = rig.node.blob(&rig.registry.host(), "app", image.layer(0)).await?;
    assert!(answer.complete && answer.body == image.layers()[0]);
    let mut requests = rig.registry.requests();
    requests.retain(|line| line.contains("bytes="));
    assert!(requests.len() >= 4, "it was not resumed: {requests:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_refuses_is_handed_through() -> anyhow::Result<()> {
    let image = Image::random(&[50_000]);
    let rig = rig(&image, Fault::None).await?;
    let host = rig.registry.host();
    for status in [403, 404, 401] {
        rig.registry.set(Fault::Status(status));
        let answer = rig.node.blob(&host, "app", image.layer(0)).await?;
        assert_eq!(answer.status.as_u16(), status);
    }
    let metadata = "http://169.254.169.254/latest/meta-data";
    rig.registry.set(Fault::Redirect(metadata.into()));
    let answer = rig.node.blob(&host, "app", image.layer(0)).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("169.254.169.254"), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_for_one_blob_are_one_transfer() -> anyhow::Result<()> {
    let image = Image::random(&[12 << 20]);
    let rig = rig(&image, Fault::Slow(6 << 20)).await?;
    let host = rig.registry.host();
    let (a, b) = tokio::join!(
        rig.node.blob(&host, "app", image.layer(0)),
        rig.node.blob(&host, "app", image.layer(0)),
    );
    assert!(a?.body == image.layers()[0] && b?.body == image.layers()[0]);
    let mut requests = rig.registry.requests();
    requests.retain(|line| line.starts_with("GET") && line.contains("blobs"));
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(rig.node.received("supernode").await?, 12 << 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_stops_its_transfer() -> anyhow::Result<()> {
    let image = Image::random(&[40 << 20]);
    let rig = rig(&image, Fault::Slow(4 << 20)).await?;
    let target = format!("/v2/app/blobs/{}?ns={}", image.layer(0), rig.registry.host());
    let mirror = rig.node.mirror();
    let response =
        testbed::web::open(mirror, http::Method::GET, &target, &[], Bytes::new()).await?;
    assert_eq!(response.status(), 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(response);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let then = rig.supernode.metric(ORIGIN).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = rig.supernode.metric(ORIGIN).await?;
    assert!(now - then < 3_000_000, "the origin is still read: {then} then, {now} now");
    Ok(())
}
