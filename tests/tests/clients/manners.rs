//! What goes with an answer: headers that must be there, headers that must not, what is handed
//! through in either direction, and what is refused.

use anyhow::Context;
use bytes::Bytes;
use content::Digest;
use http::{HeaderMap, Method};
use testbed::image::{self, INDEX, MANIFEST};
use testbed::scripted::{Heard, Line, says};
use testbed::{Bed, Image, Scripted, Site, web};
use tokio::io::AsyncWriteExt;

use crate::rig::{APP, End, REGISTRY, Rig, over_the_wire, path};

/// A registry that has one image and one index of it, and gives an index only to who takes one.
async fn registry(image: &Image) -> anyhow::Result<Scripted> {
    let (image, index) = (image.clone(), image::index(image));
    Scripted::start(move |asked| {
        let accept: Vec<_> = asked.headers.get_all("accept").iter().collect();
        let takes_index = accept.iter().any(|line| line.to_str().is_ok_and(|l| l.contains(INDEX)));
        let (manifest, media_type) =
            if takes_index { (&index, INDEX) } else { (image.manifest(), MANIFEST) };
        let digest = Digest::of(manifest).to_string();
        let headers = [
            ("docker-content-digest", digest.as_str()),
            ("content-type", media_type),
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "57;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ];
        let target = asked.uri.path();
        if target == path("manifests", "v1") || target == path("manifests", &digest) {
            return says(200, &headers, manifest.clone());
        }
        let blob = image.blobs().find(|blob| target == path("blobs", Digest::of(blob)));
        blob.map_or_else(|| says(404, &[], ""), |blob| says(200, &[], blob.clone()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_and_headers_through_rate_limits_are_told_and_are_never_our_own_429()
-> anyhow::Result<()> {
    let image = Image::random(&[1000]);
    let registry = registry(&image).await?;
    let mut rig = Rig::new(registry.address()).await?;
    for method in [Method::HEAD, Method::GET] {
        let answer = rig.send(method, &path("manifests", "v1"), &[]).await?;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-remaining"), Some("57;w=21600"));
        assert_eq!(answer.header("docker-ratelimit-source"), Some("192.0.2.1"));
    }
    // Neither the supernode nor anybody at the registry's address: an error, but not 429.
    let nobody = Site::http(REGISTRY, ([127, 0, 0, 1], 1).into());
    rig = Rig::of(Bed::new()?, &nobody, "").await?;
    for path in [path("manifests", "v1"), path("blobs", image.layer(0))] {
        let answer = rig.get(&path, &[]).await?;
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registrys_challenge_and_refusal_are_handed_through_word_for_word() -> anyhow::Result<()>
{
    let challenge = "Bearer realm=\"https://auth.test/token\",service=\"registry.test\",\
                     scope=\"repository:library/app:pull\"";
    let told = move |status: u16| match status {
        401 => ("www-authenticate", challenge),
        _ => ("retry-after", "3600"),
    };
    let body = r#"{"errors":[{"code":"TEAPOT","message":"in the registry's words"}]}"#;
    let registry = Scripted::start(move |asked| {
        let status = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
        let status = status.and_then(|value| value.strip_prefix("Bearer ")?.parse().ok());
        let status = status.unwrap_or(401);
        says(status, &[("content-type", "application/json"), told(status)], body)
    })
    .await?;
    let rig = Rig::new(registry.address()).await?;
    for status in [401, 403, 404, 429] {
        for what in [path("manifests", "v1"), path("tags", "list")] {
            let token = format!("Bearer {status}");
            let answer = rig.get(&what, &[("authorization", &token)]).await?;
            assert_eq!(answer.status, status, "{what}");
            let (name, value) = told(status);
            assert_eq!(answer.header(name), Some(value), "{what}");
            if what.contains("/tags/") {
                // What the supernode asks for a manifest by HEAD has no words.
                assert_eq!(answer.text(), body);
            }
            let json: serde_json::Value = serde_json::from_slice(&answer.body)?;
            assert!(json["errors"][0]["code"].is_string());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_no_answer_is_encoded_whatever_the_client_takes() -> anyhow::Result<()> {
    let image = Image::random(&[1000, 200_000]);
    let registry = registry(&image).await?;
    let rig = Rig::new(registry.address()).await?;
    for encodings in ["gzip", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "br, *;q=0.1"] {
        let manifests = [path("manifests", "v1"), path("manifests", image.digest())];
        let blobs = image.blobs().map(|blob| path("blobs", Digest::of(blob)));
        for what in manifests.into_iter().chain(blobs).chain([path("manifests", "none")]) {
            let answer = rig.get(&what, &[("accept-encoding", encodings)]).await?;
            assert_eq!(answer.header("content-encoding"), None, "{what}");
            assert!(answer.complete, "{what}");
        }
    }
    for heard in registry.heard() {
        assert_eq!(heard.header("accept-encoding"), Some("identity"), "{}", heard.target);
    }
    Ok(())
}

/// containers/image sends a line for each type, containerd one line with all.
#[tokio::test(flavor = "multi_thread")]
async fn rule_14_all_accept_lines_reach_the_registry() -> anyhow::Result<()> {
    let image = Image::random(&[1000]);
    let registry = registry(&image).await?;
    let rig = Rig::new(registry.address()).await?;
    let lines = [("accept", MANIFEST), ("accept", "application/x"), ("accept", INDEX)];
    let all = rig.get(&path("manifests", "v1"), &lines).await?;
    assert_eq!(all.header("content-type"), Some(INDEX));
    assert_eq!(all.body, image::index(&image));
    let one = rig.get(&path("manifests", "v1"), &lines[..2]).await?;
    assert_eq!(one.header("content-type"), Some(MANIFEST));
    assert_eq!(one.body, image.manifest());
    let accepted = |heard: &Heard| heard.header("accept").map(ToOwned::to_owned);
    let first = registry.heard().first().and_then(accepted);
    assert_eq!(first, Some(format!("{MANIFEST}, application/x, {INDEX}")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_the_mirror_speaks_http_1_1_and_nothing_else() -> anyhow::Result<()> {
    let image = Image::random(&[1000]);
    let rig = Rig::new(registry(&image).await?.address()).await?;
    let settings = "\0\0\0\x04\0\0\0\0\0";
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}");
    let answer = over_the_wire(rig.node.mirror(), &preface).await.context("h2 is spoken")?;
    let head = answer.head.as_bytes();
    assert!(head.is_empty() || head.starts_with(b"HTTP/1.1 4"), "{head:?}");
    let upgrade = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = over_the_wire(rig.node.mirror(), upgrade).await?;
    assert_eq!((answer.status(), answer.end), (Some(200), End::Fin));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_answered_without_the_bytes() -> anyhow::Result<()> {
    let image = Image::random(&[200_000]);
    let registry = registry(&image).await?;
    let rig = Rig::new(registry.address()).await?;
    let (manifest, blob) = (image.digest().to_string(), image.layer(0).to_string());
    let accept = ("accept", MANIFEST);
    for (what, digest) in [
        (path("manifests", "v1"), &manifest),
        (path("manifests", &manifest), &manifest),
        (path("blobs", &blob), &blob),
    ] {
        for tag in [format!("\"{digest}\""), format!("\"other\", W/\"{digest}\""), "*".into()] {
            let answer = rig.get(&what, &[accept, ("if-none-match", &tag)]).await?;
            assert_eq!(answer.status, 304, "{what} {tag}");
            assert!(answer.body.is_empty());
            let etag = format!("\"{digest}\"");
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
        }
        let other = rig.get(&what, &[accept, ("if-none-match", "\"other\"")]).await?;
        assert_eq!(other.status, 200, "{what}");
    }
    // A range that is bound to other bytes than ours is no range.
    let bound = [("range", "bytes=5-9"), ("if-range", "\"other\"")];
    assert_eq!(rig.get(&path("blobs", &blob), &bound).await?.status, 200);
    let ours = format!("\"{blob}\"");
    let bound = [("range", "bytes=5-9"), ("if-range", ours.as_str())];
    assert_eq!(rig.get(&path("blobs", &blob), &bound).await?.status, 206);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_is_refused_and_reaches_no_registry() -> anyhow::Result<()> {
    let registry = Scripted::start(|_| says(500, &[], "")).await?;
    let rig = Rig::new(registry.address()).await?;
    for (method, path) in [
        (Method::PUT, path("manifests", "v1")),
        (Method::DELETE, path("manifests", "v1")),
        (Method::DELETE, path("blobs", Digest::of(b"x"))),
        (Method::POST, format!("/v2/{APP}/blobs/uploads/")),
        (Method::PATCH, format!("/v2/{APP}/blobs/uploads/1")),
        (Method::POST, "/v2/".into()),
        (Method::OPTIONS, "/v2/".into()),
    ] {
        let target = format!("{path}?ns={REGISTRY}");
        let body = Bytes::from_static(b"{}");
        let answer = web::send(rig.node.mirror(), method.clone(), &target, &[], body).await?;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "RFC 9110, section 15.5.6");
        let json: serde_json::Value = serde_json::from_slice(&answer.body)?;
        assert_eq!(json["errors"][0]["code"], "UNSUPPORTED", "{method} {path}");
    }
    assert!(registry.heard().is_empty(), "{:?}", registry.heard());
    Ok(())
}

/// A client that goes away in the middle of its request harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_no_request() -> anyhow::Result<()> {
    let registry = Scripted::start(|_| Line::Silence).await?;
    let rig = Rig::new(registry.address()).await?;
    for half in ["G", "GET /v2/ HT", "GET /v2/ HTTP/1.1\r\nHost:"] {
        let mut stream = tokio::net::TcpStream::connect(rig.node.mirror()).await?;
        stream.write_all(half.as_bytes()).await?;
    }
    assert_eq!(rig.get("/v2/", &[]).await?.status, 200);
    Ok(())
}

/// The headers as a set of names, for what every answer has.
fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_api_and_the_request() -> anyhow::Result<()> {
    let image = Image::random(&[1000]);
    let rig = Rig::new(registry(&image).await?.address()).await?;
    for what in ["/v2/".into(), path("manifests", "v1"), path("blobs", "nonsense"), "/".into()] {
        let answer = rig.get(&what, &[("x-request-id", "from-the-client")]).await?;
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
        assert_eq!(answer.header("x-request-id"), Some("from-the-client"), "{what}");
        assert!(names(&answer.headers).contains(&"content-type"), "{what}");
    }
    Ok(())
}
