//! How a registry is named, pages of tags and referrers, and what the specification forbids.

use content::Digest;
use testbed::scripted::{Line, says};
use testbed::{Bed, Image, Scripted, Site, web};

use crate::rig::{APP, REGISTRY, Rig, path};

/// Docker without the containerd store: `registry-mirrors`, no `ns`, a ping first.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_named_by_ns_by_the_path_or_by_default() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let (image, other) = (Image::random(&[1000]), Image::random(&[2000]));
    let hub = bed.registry().start().await?;
    registry.push(APP, "v1", &image).await?;
    hub.push(APP, "v1", &other).await?;
    let site = Site::http(REGISTRY, registry.address())
        .and(&Site::http("docker.io", hub.address()))
        .and(&Site::http("port.test:5000", registry.address()));
    let rig = Rig::of(bed, &site, "registries.default = \"docker.io\"").await?;
    for (target, expected) in [
        (format!("/v2/{APP}/manifests/v1?ns={REGISTRY}"), &image),
        (format!("/v2/{REGISTRY}/{APP}/manifests/v1"), &image),
        (format!("/v2/{APP}/manifests/v1?ns=port.test:5000"), &image),
        (format!("/v2/{APP}/manifests/v1?ns=port.test%3A5000"), &image),
        (format!("/v2/port.test:5000/{APP}/manifests/v1"), &image),
        (format!("/v2/{APP}/manifests/v1"), &other),
        (format!("/v2/docker.io/{APP}/manifests/v1"), &other),
        (format!("/v2/{APP}/manifests/v1?ns=registry-1.docker.io"), &other),
        (format!("/v2/index.docker.io/{APP}/manifests/v1"), &other),
        (format!("/v2/{APP}/manifests/v1?ns="), &other),
    ] {
        let answer = rig.node.get(&target, &[]).await?;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(&answer.body, expected.manifest(), "{target}");
        let blob = target.replace("manifests/v1", &format!("blobs/{}", expected.layer(0)));
        let answer = rig.node.get(&blob, &[("range", "bytes=0-")]).await?;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &expected.layers()[0]), "{blob}");
    }
    for ping in ["/v2/", "/v2"] {
        assert_eq!(rig.node.get(ping, &[]).await?.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_specification_forbids_is_refused_and_reaches_no_registry() -> anyhow::Result<()> {
    let registry = Scripted::start(|_| says(500, &[], "")).await?;
    let rig = Rig::new(registry.address()).await?;
    let digest = Digest::of(b"x").to_string();
    let long = "a".repeat(129);
    for (path, code) in [
        ("/v2/UPPER/manifests/v1".to_owned(), "NAME_INVALID"),
        ("/v2/a..b/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/-a/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/a_/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/a//b/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/../../etc/passwd/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/%2e%2e/a/manifests/v1".into(), "NAME_INVALID"),
        ("/v2/a%2fb/manifests/v1".into(), "NAME_INVALID"),
        (format!("/v2/{}/manifests/v1", "a".repeat(256)), "NAME_INVALID"),
        ("/v2/a/manifests/.v1".into(), "TAG_INVALID"),
        ("/v2/a/manifests/-v1".into(), "TAG_INVALID"),
        ("/v2/a/manifests/v%201".into(), "TAG_INVALID"),
        (format!("/v2/a/manifests/{long}"), "TAG_INVALID"),
        ("/v2/a/manifests/sha256:short".into(), "DIGEST_INVALID"),
        ("/v2/a/blobs/latest".into(), "DIGEST_INVALID"),
        (format!("/v2/a/blobs/{}", digest.to_uppercase()), "DIGEST_INVALID"),
        (format!("/v2/a/blobs/{digest}0"), "DIGEST_INVALID"),
        ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e".into(), "DIGEST_INVALID"),
        (format!("/v2/a/referrers/{}", &digest[..70]), "DIGEST_INVALID"),
    ] {
        for ns in [REGISTRY, "unknown.test"] {
            let target = format!("{path}?ns={ns}");
            let answer = rig.node.get(&target, &[]).await?;
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
            let json: serde_json::Value = serde_json::from_slice(&answer.body)?;
            assert_eq!(json["errors"][0]["code"], code, "{target}");
        }
    }
    for ns in ["http://evil/", "user@host", "a b", "..", "%00", "evil.test/path", "host:port"] {
        let target = format!("/v2/a/manifests/v1?ns={}", ns.replace(' ', "+"));
        let answer = rig.node.get(&target, &[]).await?;
        assert!([400, 403].contains(&answer.status.as_u16()), "{ns}: {}", answer.status);
    }
    assert!(registry.heard().is_empty(), "{:?}", registry.heard());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_make_no_sense_are_ignored_or_unsatisfiable_as_http_has_it()
-> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[300_000]);
    registry.push(APP, "v1", &image).await?;
    let rig = Rig::of(bed, &Site::http(REGISTRY, registry.address()), "").await?;
    let what = path("blobs", image.layer(0));
    for range in ["bytes=5-4", "bytes=a-", "items=0-1", "bytes", "bytes=0-1,7-9", "bytes=+1-"] {
        let answer = rig.get(&what, &[("range", range)]).await?;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 300_000), "{range}");
    }
    for range in ["bytes=300000-", "bytes=300000-300001", "bytes=-0", "bytes=9999999999999999999-"]
    {
        let answer = rig.get(&what, &[("range", range)]).await?;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), Some("bytes */300000"));
    }
    Ok(())
}

/// A page whose next one goes by a token of the registry's own, and by an absolute URL.
fn referrers(path: &str, query: Option<&str>) -> Line {
    let query = query.unwrap_or_default();
    let index = |name: &str| format!("{{\"schemaVersion\":2,\"manifests\":[],\"x\":\"{name}\"}}");
    let media_type = ("content-type", testbed::image::INDEX);
    let filtered = ("oci-filters-applied", "artifactType");
    if query.contains("token=a%2Fb%3D") {
        return says(200, &[media_type, filtered], index("second"));
    }
    let link = format!("<https://elsewhere.test{path}?token=a%2Fb%3D&{query}>; rel=\"next\"");
    says(200, &[media_type, filtered, ("link", &link)], index("first"))
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_come_page_by_page_and_every_page_through_the_mirror() -> anyhow::Result<()> {
    let registry = Scripted::start(|asked| referrers(asked.uri.path(), asked.uri.query())).await?;
    let site = Site::http(REGISTRY, registry.address());
    let rig = Rig::of(Bed::new()?, &site, &format!("registries.default = \"{REGISTRY}\"")).await?;
    let digest = Digest::of(b"subject");
    for first in [
        format!("{}?artifactType=a%2Fb&ns={REGISTRY}", path("referrers", digest)),
        format!("/v2/{REGISTRY}/{APP}/referrers/{digest}?artifactType=a%2Fb"),
        format!("{}?artifactType=a%2Fb", path("referrers", digest)),
    ] {
        let answer = rig.node.get(&first, &[]).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some(testbed::image::INDEX), "the spec's MUST");
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
        let link = answer.header("link").unwrap_or_default().to_owned();
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_default();
        assert!(next.starts_with(first.split('?').next().unwrap_or_default()), "{link}");
        let answer = rig.node.get(next, &[]).await?;
        assert!(answer.text().contains("second"), "{next}: {}", answer.text());
        assert_eq!(answer.header("link"), None);
    }
    for heard in registry.heard() {
        assert!(heard.target.contains("artifactType=a%2Fb"), "{}", heard.target);
        assert!(!heard.target.contains("ns="), "the registry's name is ours, not its");
    }
    Ok(())
}

/// A registry without the referrers API says 404: the client goes on to the fallback tag.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_referrers_or_tags_is_404_word_for_word() -> anyhow::Result<()> {
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing here"}]}"#;
    let json = [("content-type", "application/json")];
    let registry = Scripted::start(move |_| says(404, &json, body)).await?;
    let rig = Rig::new(registry.address()).await?;
    for what in [path("referrers", Digest::of(b"x")), path("tags", "list?n=5&last=v1")] {
        let answer = rig.get(&what, &[]).await?;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, body.to_owned()), "{what}");
    }
    let asked = registry.heard();
    assert!(asked[1].target.ends_with("/tags/list?n=5&last=v1"), "{}", asked[1].target);
    let target = format!("/v2/{APP}/tags/list?ns=unknown.test");
    let unknown = web::get(rig.node.mirror(), &target, &[]).await?;
    assert_eq!(unknown.status, 403, "not a registry that the configuration admits");
    Ok(())
}
