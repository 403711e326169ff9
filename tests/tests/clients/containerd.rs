//! Debian's containerd pulls through the mirror.

use std::net::SocketAddr;

use content::Digest;
use testbed::containerd::NOWHERE;
use testbed::image::{self, INDEX};
use testbed::{Bed, Containerd, DockerRegistry, Fault, FaultyRegistry, Image, Site};

use crate::rig::{APP, REGISTRY, Rig};

const MIB: usize = 1 << 20;

fn reference(tag: impl std::fmt::Display) -> String {
    format!("{REGISTRY}/{APP}:{tag}")
}

/// The heart of it all: one image, many nodes, each byte once from the origin.
#[tokio::test(flavor = "multi_thread")]
async fn three_containerds_pull_one_image_at_once_and_the_origin_sends_each_blob_once()
-> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::archives(&[6 * MIB, 3 * MIB, 300_000, 2000]).await?;
    let index = image::index(&image);
    registry.push(APP, "one", &image).await?;
    registry.push_manifest(APP, "v1", INDEX, &index).await?;
    let supernode = bed.supernode(&Site::http(REGISTRY, registry.address())).await?;
    let (mut nodes, mut containerds) = (Vec::new(), Vec::new());
    for name in ["n1", "n2", "n3"] {
        let node = bed.node(name, &supernode).await?;
        let containerd = Containerd::start(&bed, name).await?;
        containerd.hosts(REGISTRY, &[format!("http://{}", node.mirror())], NOWHERE)?;
        nodes.push(node);
        containerds.push(containerd);
    }
    supernode.until_nodes(3).await?;

    let reference = reference("v1");
    let (a, b, c) = tokio::join!(
        containerds[0].pull(&reference),
        containerds[1].pull(&reference),
        containerds[2].pull(&reference),
    );
    a?;
    b?;
    c?;

    let mut digests = image.digests();
    digests.insert(Digest::of(&index));
    for containerd in &containerds {
        containerd.verify(&digests).await?;
    }
    let mut sent = registry.gets("/blobs/");
    sent.sort_by(|a, b| a.path.cmp(&b.path));
    let mut blobs: Vec<_> = image
        .blobs()
        .map(|blob| (format!("/v2/{APP}/blobs/{}", Digest::of(blob)), blob.len() as u64))
        .collect();
    blobs.sort();
    let sent: Vec<_> = sent.into_iter().map(|logged| (logged.path, logged.bytes)).collect();
    assert_eq!(sent, blobs, "each blob leaves the origin once, and whole");
    let mut manifests: Vec<_> =
        registry.gets("/manifests/").into_iter().map(|logged| logged.path).collect();
    manifests.sort();
    manifests.dedup();
    assert_eq!(manifests.len(), registry.gets("/manifests/").len(), "as do the manifests");
    for node in &nodes {
        assert_eq!(node.received("origin").await?, 0, "{} asked the origin itself", node.name());
    }
    Ok(())
}

/// A registry that has the image, and a mirror whose origin has it too, but with a fault.
struct Beside {
    containerd: Containerd,
    upstream: DockerRegistry,
    faulty: FaultyRegistry,
    rig: Rig,
}

impl Beside {
    async fn new(image: &Image, fault: Fault) -> anyhow::Result<Self> {
        let bed = Bed::new()?;
        let upstream = bed.registry().start().await?;
        upstream.push(APP, "v1", image).await?;
        let faulty = FaultyRegistry::start(image, fault).await?;
        let origin: SocketAddr = faulty.host().parse()?;
        let rig = Rig::of(bed, &Site::http(REGISTRY, origin), "").await?;
        let containerd = Containerd::start(&rig.bed, "c").await?;
        let server = format!("http://{}", upstream.address());
        containerd.hosts(REGISTRY, &[rig.mirror()], &server)?;
        Ok(Self { containerd, upstream, faulty, rig })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_1_and_2_a_body_that_fails_is_taken_up_by_the_next_host_where_it_ended()
-> anyhow::Result<()> {
    let image = Image::random(&[5 * MIB]);
    let beside = Beside::new(&image, Fault::FlippedBit).await?;
    beside.containerd.fetch(&reference("v1")).await?;
    beside.containerd.verify(&image.digests()).await?;
    let rest = beside.upstream.gets(&image.layer(0).to_string());
    assert_eq!(rest.iter().map(|logged| logged.status).collect::<Vec<_>>(), [206], "{rest:?}");
    assert!(rest[0].bytes < 3 * MIB as u64, "the registry sent more than the rest: {rest:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_what_the_mirror_refuses_comes_from_the_next_host_object_by_object()
-> anyhow::Result<()> {
    for status in [401, 403, 404, 500, 503] {
        let image = Image::random(&[300_000, 2 * MIB]);
        let beside = Beside::new(&image, Fault::Status(status)).await?;
        beside.containerd.fetch(&reference("v1")).await?;
        beside.containerd.verify(&image.digests()).await?;
        assert_eq!(beside.upstream.gets("/blobs/").len(), 3, "config and layers, with {status}");
        let manifests = beside.upstream.gets("/manifests/");
        assert!(manifests.is_empty(), "the mirror had the manifest: {manifests:?}");
        assert!(beside.faulty.requests().iter().any(|line| line.contains("/blobs/")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_mirror_that_is_not_there_or_does_not_know_the_registry_costs_nothing_but_time()
-> anyhow::Result<()> {
    let image = Image::random(&[300_000, 2 * MIB]);
    let mut beside = Beside::new(&image, Fault::None).await?;
    let server = format!("http://{}", beside.upstream.address());
    beside.containerd.hosts("other.test", &[beside.rig.mirror()], &server)?;
    beside.containerd.fetch(&format!("other.test/{APP}:v1")).await?;
    beside.containerd.verify(&image.digests()).await?;
    assert!(beside.faulty.requests().is_empty(), "nobody spoke of {REGISTRY}");

    beside.rig.node.kill()?;
    let other = Containerd::start(&beside.rig.bed, "other").await?;
    other.hosts(REGISTRY, &[beside.rig.mirror()], &server)?;
    other.fetch(&reference("v1")).await?;
    other.verify(&image.digests()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_its_digest_too_and_again_without_the_origin() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let mut registry = bed.registry().start().await?;
    let image = Image::archives(&[MIB, 5000]).await?;
    registry.push(APP, "v1", &image).await?;
    let rig = Rig::of(bed, &Site::http(REGISTRY, registry.address()), "").await?;
    let reference = format!("{REGISTRY}/{APP}@{}", image.digest());
    let first = Containerd::start(&rig.bed, "first").await?;
    first.hosts(REGISTRY, &[rig.mirror()], NOWHERE)?;
    first.pull(&reference).await?;
    first.verify(&image.digests()).await?;

    registry.process().kill()?;
    let second = Containerd::start(&rig.bed, "second").await?;
    second.hosts(REGISTRY, &[rig.mirror()], NOWHERE)?;
    second.pull(&reference).await?;
    second.verify(&image.digests()).await
}
