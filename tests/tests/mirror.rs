//! The mirror's rules, by the requests that real clients send.

use bytes::Bytes;
use http::Method;
use testbed::web::{self, Answer};
use testbed::{Bed, DockerRegistry, Image, Node, Supernode};

struct Rig {
    _bed: Bed,
    registry: DockerRegistry,
    _supernode: Supernode,
    node: Node,
    image: Image,
}

impl Rig {
    async fn new(lengths: &[usize]) -> anyhow::Result<Self> {
        let bed = Bed::new()?;
        let registry = bed.registry().start().await?;
        let image = Image::random(lengths);
        registry.push("library/app", "v1", &image).await?;
        let supernode = bed.supernode(&registry.site()).await?;
        let node = bed.node("n1", &supernode).await?;
        Ok(Self { _bed: bed, registry, _supernode: supernode, node, image })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let target = format!("{path}?ns={}", self.registry.host());
        web::send(self.node.mirror(), method, &target, headers, Bytes::new()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_answered_as_clients_expect() -> anyhow::Result<()> {
    let rig = Rig::new(&[3_000_000, 1000]).await?;
    let digest = rig.image.digest().to_string();
    for reference in ["v1", &digest] {
        let path = format!("/v2/library/app/manifests/{reference}");
        let head = rig.send(Method::HEAD, &path, &[]).await?;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(head.header("content-type"), Some(testbed::image::MANIFEST));
        let length = rig.image.manifest().len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
        let get = rig.send(Method::GET, &path, &[]).await?;
        assert_eq!(get.body, rig.image.manifest());
        assert_eq!(get.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(get.header("content-type"), Some(testbed::image::MANIFEST));
        assert_eq!(get.header("oci-namespace"), Some(rig.registry.host().as_str()));
        let tag = format!("\"{digest}\"");
        let same = rig.send(Method::GET, &path, &[("if-none-match", &tag)]).await?;
        assert_eq!(same.status, 304);
        assert!(same.body.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_answered_as_containerd_needs_them() -> anyhow::Result<()> {
    let rig = Rig::new(&[3_000_000, 1000]).await?;
    let layer = rig.image.layers()[0].clone();
    let path = format!("/v2/library/app/blobs/{}", rig.image.layer(0));
    // The first request of a parallel fetch: all of it, with 200, so that one stream follows.
    let headers = [("range", "bytes=0-"), ("accept-encoding", "zstd;q=1.0, gzip;q=0.8")];
    let all = rig.send(Method::GET, &path, &headers).await?;
    assert_eq!((all.status.as_u16(), all.header("content-encoding")), (200, None));
    assert!(all.body == layer);
    for (range, start, end) in [
        ("bytes=1-", 1, layer.len()),
        ("bytes=1000000-", 1_000_000, layer.len()),
        ("bytes=10-19", 10, 20),
        ("bytes=2999999-9999999", 2_999_999, layer.len()),
        ("bytes=-5", layer.len() - 5, layer.len()),
    ] {
        let part = rig.send(Method::GET, &path, &[("range", range)]).await?;
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == layer.slice(start..end), "{range}");
        let told = format!("bytes {start}-{}/{}", end - 1, layer.len());
        assert_eq!(part.header("content-range"), Some(told.as_str()));
    }
    let beyond = rig.send(Method::GET, &path, &[("range", "bytes=3000000-")]).await?;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), Some("bytes */3000000"));
    let several = rig.send(Method::GET, &path, &[("range", "bytes=0-1,5-6")]).await?;
    assert_eq!((several.status.as_u16(), several.body.len()), (200, layer.len()));
    let head = rig.send(Method::HEAD, &path, &[]).await?;
    assert_eq!(head.header("content-length"), Some("3000000"));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_ended_range_does_not_fetch_the_whole_tail() -> anyhow::Result<()> {
    let rig = Rig::new(&[64 << 20]).await?;
    let (layer, host) = (rig.image.layer(0), rig.registry.host());
    let target = format!("/v2/library/app/blobs/{layer}?ns={host}");
    let range = [("range", "bytes=1000-")];
    let response = web::open(rig.node.mirror(), Method::GET, &target, &range, Bytes::new()).await?;
    assert_eq!(response.status(), 206);
    // The client reads nothing and waits: what is fetched for it stays a window.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let fetched = rig.node.received("supernode").await?;
    assert!(fetched > 0, "nothing was fetched ahead");
    assert!(fetched <= 40_000_000, "{fetched} bytes were fetched for a client that reads nothing");
    drop(response);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_found_by_path_too_and_pages_are_handed_through() -> anyhow::Result<()> {
    let rig = Rig::new(&[1000]).await?;
    let host = rig.registry.host();
    let by_path = rig.node.get(&format!("/v2/{host}/library/app/manifests/v1"), &[]).await?;
    assert_eq!(by_path.body, rig.image.manifest());
    let ping = rig.node.get("/v2/", &[]).await?;
    assert_eq!(ping.status, 200);
    let tags = rig.send(Method::GET, "/v2/library/app/tags/list", &[]).await?;
    assert!(tags.text().contains("\"v1\""), "{}", tags.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_the_specification() -> anyhow::Result<()> {
    let rig = Rig::new(&[1000]).await?;
    for (method, path, status, code) in [
        (Method::PUT, "/v2/library/app/manifests/v1", 405, "UNSUPPORTED"),
        (Method::POST, "/v2/library/app/blobs/uploads/", 405, "UNSUPPORTED"),
        (Method::DELETE, "/v2/library/app/manifests/v1", 405, "UNSUPPORTED"),
        (Method::GET, "/v2/library/app/manifests/nope", 404, "MANIFEST_UNKNOWN"),
        (Method::GET, "/v2/library/app/blobs/sha256:bad", 400, "DIGEST_INVALID"),
        (Method::GET, "/v2/UPPER/manifests/v1", 400, "NAME_INVALID"),
        (Method::GET, "/v2/library/app/manifests/.v1", 400, "TAG_INVALID"),
        (Method::GET, "/v2/x", 404, "NAME_UNKNOWN"),
    ] {
        let answer = rig.send(method.clone(), path, &[]).await?;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        assert_eq!(body["errors"][0]["code"], code, "{method} {path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_is_404_and_what_is_not_admitted_403() -> anyhow::Result<()> {
    let rig = Rig::new(&[1000]).await?;
    let missing = content::Digest::of(b"nobody has this");
    let answer = rig.send(Method::GET, &format!("/v2/library/app/blobs/{missing}"), &[]).await?;
    assert_eq!(answer.status, 404);
    for registry in ["evil.example", "169.254.169.254"] {
        let target = format!("/v2/app/manifests/v1?ns={registry}");
        let answer = rig.node.get(&target, &[]).await?;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    Ok(())
}
