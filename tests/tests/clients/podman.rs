//! Debian's podman and skopeo pull through the mirror: no `?ns=`, the registry stands in the path.
//! CRI-O has the same library.

use content::Digest;
use testbed::image::{self, INDEX};
use testbed::scripted::{Line, says};
use testbed::{Bed, DockerRegistry, Image, Podman, Scripted, Site};

use crate::rig::{APP, REGISTRY, Rig};

async fn rig(image: &Image) -> anyhow::Result<(DockerRegistry, Rig)> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    registry.push(APP, "one", image).await?;
    registry.push_manifest(APP, "v1", INDEX, &image::index(image)).await?;
    let rig = Rig::of(bed, &Site::http(REGISTRY, registry.address()), "").await?;
    Ok((registry, rig))
}

/// The mirror as registries.conf has it.
fn mirror(rig: &Rig, registry: &str) -> String {
    format!("{}/{registry}", rig.node.mirror())
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_by_a_registry_in_the_path() -> anyhow::Result<()> {
    let image = Image::archives(&[2_000_000, 3000]).await?;
    let (registry, rig) = rig(&image).await?;
    let podman = Podman::new(&rig.bed, REGISTRY, &[mirror(&rig, REGISTRY)], REGISTRY)?;
    let reference = format!("{REGISTRY}/{APP}:v1");
    let id = podman.pull(&reference).await?;
    let config = image.blobs().next().map(|config| Digest::of(config).to_string());
    assert_eq!(Some(format!("sha256:{id}")), config);
    let layers: Vec<_> = (0..2).map(|index| image.layer(index).to_string()).collect();
    assert_eq!(podman.layers(&reference).await?, layers);
    assert_eq!(registry.blob_bytes(), image.size());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_an_image_by_tag_and_by_digest() -> anyhow::Result<()> {
    let image = Image::random(&[2_000_000, 3000]);
    let (registry, rig) = rig(&image).await?;
    let podman = Podman::new(&rig.bed, REGISTRY, &[mirror(&rig, REGISTRY)], REGISTRY)?;
    for (name, reference) in [("tag", ":v1".to_owned()), ("digest", format!("@{}", image.digest()))]
    {
        let folder = podman.folder(name);
        let source = format!("docker://{REGISTRY}/{APP}{reference}");
        let target = format!("dir:{}", folder.display());
        podman.skopeo(["copy", &source, &target]).await?;
        for blob in image.blobs() {
            let digest = Digest::of(blob).to_string();
            let copied = std::fs::read(folder.join(digest.trim_start_matches("sha256:")))?;
            assert!(copied == *blob, "{digest}");
        }
    }
    assert_eq!(registry.blob_bytes(), image.size());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_goes_to_the_registry_where_the_mirror_has_no_manifest() -> anyhow::Result<()> {
    let image = Image::archives(&[100_000]).await?;
    let (registry, rig) = rig(&image).await?;
    let location = registry.address().to_string();
    let unknown = [mirror(&rig, "unknown.test")];
    let podman = Podman::new(&rig.bed, "unknown.test", &unknown, &location)?;
    podman.pull(&format!("unknown.test/{APP}:v1")).await?;
    assert!(rig.node.log().contains("unknown.test"), "the mirror was not asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_lists_tags_page_by_page_through_the_mirror() -> anyhow::Result<()> {
    let registry = Scripted::start(|asked| tags(asked.uri.path(), asked.uri.query())).await?;
    let rig = Rig::new(registry.address()).await?;
    let podman = Podman::new(&rig.bed, REGISTRY, &[], REGISTRY)?;
    let source = format!("docker://{}/{REGISTRY}/{APP}", rig.node.mirror());
    let listed = podman.skopeo(["list-tags", "--tls-verify=false", &source]).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let tags: Vec<_> = (0..25).map(|tag| format!("v{tag:02}")).collect();
    assert_eq!(listed["Tags"], serde_json::json!(tags));
    assert_eq!(registry.heard().iter().filter(|heard| heard.target.contains("/tags/")).count(), 3);
    Ok(())
}

/// 25 tags, ten to a page; the next page goes by a token that only this registry understands.
fn tags(path: &str, query: Option<&str>) -> Line {
    if path != format!("/v2/{APP}/tags/list") {
        return says(404, &[], "");
    }
    let first = query
        .and_then(|query| query.split('&').find_map(|part| part.strip_prefix("next=from%3A")))
        .and_then(|first| first.parse().ok())
        .unwrap_or(0);
    let page: Vec<_> = (first..25).take(10).map(|tag| format!("v{tag:02}")).collect();
    let body = serde_json::json!({ "name": APP, "tags": page }).to_string();
    let link = format!("<{path}?n=10&next=from%3A{}>; rel=\"next\"", first + 10);
    let json = ("content-type", "application/json");
    if first + 10 < 25 {
        says(200, &[json, ("link", &link)], body)
    } else {
        says(200, &[json], body)
    }
}
