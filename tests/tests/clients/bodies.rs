//! Answers that fail, are slow, or come in parts: requests as containerd 2.x sends them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use testbed::scripted::Line;
use testbed::{Bed, Fault, FaultyRegistry, Image, Scripted, Site, web};
use tokio::task::JoinSet;

use crate::rig::{End, REGISTRY, Rig, over_the_wire, path};

const MIB: usize = 1 << 20;

/// What containerd 2.x sends with every GET of a blob.
const ENCODINGS: (&str, &str) = ("accept-encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");

async fn faulty(image: &Image, fault: Fault) -> anyhow::Result<(FaultyRegistry, Rig)> {
    let registry = FaultyRegistry::start(image, fault).await?;
    let rig = Rig::new(registry.host().parse::<SocketAddr>()?).await?;
    Ok((registry, rig))
}

fn get(target: &str) -> String {
    format!(
        "GET {target}?ns={REGISTRY} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         User-Agent: containerd/v2.3.4\r\nAccept: */*\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_wrong_bytes_end_the_connection_by_fin_before_the_length_is_reached()
-> anyhow::Result<()> {
    let image = Image::random(&[5 * MIB, 2 * MIB, 300_000]);
    let (_registry, rig) = faulty(&image, Fault::FlippedBit).await?;
    for (layer, bytes) in image.layers().iter().enumerate() {
        let target = path("blobs", image.layer(layer));
        let answer = over_the_wire(rig.node.mirror(), &get(&target)).await?;
        assert_eq!(answer.status(), Some(200), "{}", answer.head);
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
        assert_eq!(answer.end, End::Fin, "containerd gives up at a reset");
        assert!(answer.body.len() < bytes.len(), "layer {layer} was given out whole");
        assert!(bytes.starts_with(&answer.body), "layer {layer}: what came is not wrong yet");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_an_origin_that_goes_away_ends_the_connection_by_fin_too() -> anyhow::Result<()> {
    let image = Image::random(&[5 * MIB]);
    let (registry, rig) = faulty(&image, Fault::CutAfter(MIB)).await?;
    let target = path("blobs", image.layer(0));
    let request = get(&target);
    let reading = over_the_wire(rig.node.mirror(), &request);
    let going = async {
        while !registry.requests().iter().any(|line| line.contains("/blobs/")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        registry.set(Fault::Status(500));
    };
    let (answer, ()) = tokio::join!(reading, going);
    let answer = answer?;
    assert_eq!((answer.status(), answer.end), (Some(200), End::Fin), "{}", answer.head);
    assert!(answer.body.len() < 5 * MIB && image.layers()[0].starts_with(&answer.body));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_2_and_3_who_resumes_a_failed_body_gets_an_error_at_once_and_never_an_empty_part()
-> anyhow::Result<()> {
    let image = Image::random(&[3 * MIB]);
    let (registry, rig) = faulty(&image, Fault::FlippedBit).await?;
    let target = path("blobs", image.layer(0));
    let first = rig.get(&target, &[ENCODINGS]).await?;
    assert!(!first.complete && !first.body.is_empty());
    let rest = format!("bytes={}-", first.body.len());
    for _ in 0..5 {
        let asked = Instant::now();
        let answer = rig.get(&target, &[ENCODINGS, ("range", &rest)]).await?;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    // Whoever begins anew may find that the origin is right again.
    registry.set(Fault::None);
    let anew = rig.get(&target, &[ENCODINGS]).await?;
    assert!(anew.complete && anew.body == image.layers()[0]);
    let part = rig.get(&target, &[("range", &rest)]).await?;
    assert_eq!(part.status, 206);
    assert!(part.body == image.layers()[0].slice(first.body.len()..));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_7_headers_do_not_wait_for_a_slow_body() -> anyhow::Result<()> {
    let image = Image::random(&[24 * MIB]);
    let (_registry, rig) = faulty(&image, Fault::Slow(MIB)).await?;
    let target = format!("{}?ns={REGISTRY}", path("blobs", image.layer(0)));
    let asked = Instant::now();
    let mirror = rig.node.mirror();
    let mut response = web::open(mirror, Method::GET, &target, &[], Bytes::new()).await?;
    assert_eq!(response.status(), 200);
    let frame = http_body_util::BodyExt::frame(response.body_mut()).await;
    assert!(frame.is_some_and(|frame| frame.is_ok()));
    // All of it would take 24 seconds.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_7_an_origin_that_says_nothing_is_an_error_within_30_seconds() -> anyhow::Result<()> {
    let origin = Scripted::start(|_| Line::Silence).await?;
    let rig = Rig::new(origin.address()).await?;
    let digest = content::Digest::of(b"never told");
    let mut asking = JoinSet::new();
    for (method, path) in [
        (Method::HEAD, path("manifests", "v1")),
        (Method::GET, path("manifests", digest)),
        (Method::GET, path("blobs", digest)),
        (Method::HEAD, path("blobs", digest)),
        (Method::GET, path("tags", "list")),
    ] {
        let (mirror, target) = (rig.node.mirror(), format!("{path}?ns={REGISTRY}"));
        asking.spawn(async move {
            let asked = Instant::now();
            let answer = web::send(mirror, method.clone(), &target, &[], Bytes::new()).await;
            (format!("{method} {target}"), answer, asked.elapsed())
        });
    }
    while let Some(answered) = asking.join_next().await {
        let (asked, answer, time) = answered?;
        assert_eq!(answer?.status, 504, "{asked}");
        assert!(time < Duration::from_secs(30), "{asked}: {time:?}");
    }
    Ok(())
}

/// containerd 2.1 and later with `concurrent_layer_fetch_buffer`: chunks side by side, each asked
/// for to the end, and its connection dropped after the chunk.
#[tokio::test(flavor = "multi_thread")]
async fn rules_8_to_10_chunks_are_parts_to_the_end_and_the_first_request_is_all()
-> anyhow::Result<()> {
    let image = Image::random(&[3 * MIB + 5]);
    let (registry, rig) = faulty(&image, Fault::None).await?;
    let layer = image.layers()[0].clone();
    let target = format!("{}?ns={REGISTRY}", path("blobs", image.layer(0)));
    let mirror = rig.node.mirror();
    // Its first GET of every object, manifests too, says `bytes=0-`.
    let first = [ENCODINGS, ("range", "bytes=0-")];
    let manifest = rig.get(&path("manifests", image.digest()), &first).await?;
    assert_eq!((manifest.status.as_u16(), &manifest.body), (200, image.manifest()));
    let all = web::open(mirror, Method::GET, &target, &first, Bytes::new()).await?;
    assert_eq!(all.status(), 200, "one stream, with all its means to resume");
    drop(all);

    let mut chunks = JoinSet::new();
    for start in (0..layer.len()).step_by(MIB).skip(1) {
        let target = target.clone();
        chunks.spawn(async move {
            let range = format!("bytes={start}-");
            let headers = [ENCODINGS, ("range", range.as_str())];
            let mut part = web::open(mirror, Method::GET, &target, &headers, Bytes::new()).await?;
            let mut bytes = Vec::new();
            while bytes.len() < MIB
                && let Some(frame) = http_body_util::BodyExt::frame(part.body_mut()).await
            {
                bytes.extend_from_slice(frame?.data_ref().unwrap_or(&Bytes::new()));
            }
            anyhow::Ok((start, part.status(), part.headers().clone(), bytes))
        });
    }
    while let Some(chunk) = chunks.join_next().await {
        let (start, status, headers, bytes) = chunk??;
        assert_eq!(status, 206);
        let length = (layer.len() - start).to_string();
        assert_eq!(headers["content-length"], length.as_str(), "to the end, and no less");
        let told = format!("bytes {start}-{}/{}", layer.len() - 1, layer.len());
        assert_eq!(headers["content-range"], told.as_str());
        assert!(bytes.len() >= MIB.min(layer.len() - start) && layer[start..].starts_with(&bytes));
    }
    let blobs = |line: &&String| line.starts_with("GET") && line.contains("/blobs/");
    let asked = registry.requests().iter().filter(blobs).count();
    // One for each place that the client jumps to, as a rule; far from one for each of 49 pieces.
    assert!(asked <= 12, "{:?}", registry.requests());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_what_was_found_by_tag_is_had_by_digest_even_if_the_supernode_has_gone()
-> anyhow::Result<()> {
    let bed = Bed::new()?;
    let mut registry = bed.registry().start().await?;
    let image = Image::random(&[MIB]);
    registry.push(crate::rig::APP, "v1", &image).await?;
    let mut rig = Rig::of(bed, &Site::http(REGISTRY, registry.address()), "").await?;
    let head = rig.send(Method::HEAD, &path("manifests", "v1"), &[]).await?;
    let digest = head.header("docker-content-digest").map(ToOwned::to_owned).unwrap_or_default();
    rig.supernode.kill()?;
    let got = rig.get(&path("manifests", &digest), &[]).await?;
    assert_eq!((got.status.as_u16(), &got.body), (200, image.manifest()));

    // If the registry has gone as well, the node still has what it gave a moment ago; for the rest
    // an error comes at once, and no silence.
    registry.process().kill()?;
    let again = rig.get(&path("manifests", &digest), &[]).await?;
    assert_eq!((again.status.as_u16(), &again.body), (200, image.manifest()));
    for gone in [path("manifests", "v1"), path("blobs", image.layer(0))] {
        let asked = Instant::now();
        let answer = rig.get(&gone, &[]).await?;
        assert_eq!(answer.status, 502, "{gone}: {}", answer.text());
        assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    }
    Ok(())
}
