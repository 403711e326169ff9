//! Images whose bytes are known to the test.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use content::Digest;
use serde_json::{Value, json};

use crate::tool::tool;

/// An image: layers of known bytes, a config, a manifest.
#[derive(Clone, Debug)]
pub struct Image {
    layers: Vec<Bytes>,
    config: Bytes,
    manifest: Bytes,
}

/// The media type of the manifests made here.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    /// An image with layers of random bytes, one for each length. The bytes are no layer that a
    /// container could run; they are for everything short of unpacking.
    #[must_use]
    pub fn random(lengths: &[usize]) -> Self {
        Self::of(lengths.iter().map(|length| random(*length)).collect())
    }

    /// An image that can be unpacked: each layer is an archive of one file of random bytes.
    ///
    /// # Errors
    /// If there is no `tar`.
    pub async fn archives(lengths: &[usize]) -> anyhow::Result<Self> {
        let mut layers = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let dir = tempfile::tempdir()?;
            let name = format!("file-{index}");
            std::fs::write(dir.path().join(&name), random(*length))?;
            let tar = tool("tar", "tar").args(["--create", "--owner=0", "--group=0"]);
            layers.push(tar.args(["--directory"]).args([dir.path()]).args([name]).run().await?);
        }
        Ok(Self::of(layers.into_iter().map(Bytes::from).collect()))
    }

    /// An image with these layers.
    #[must_use]
    pub fn of(layers: Vec<Bytes>) -> Self {
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": {},
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|layer| Digest::of(layer).to_string()).collect::<Vec<_>>(),
            },
        });
        let config = Bytes::from(config.to_string());
        let listed: Vec<_> = layers
            .iter()
            .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": listed,
        });
        Self { layers, config, manifest: Bytes::from(manifest.to_string()) }
    }

    /// The one image of an OCI layout, and more blobs that its manifest does not name.
    ///
    /// # Errors
    /// If it is no such layout.
    pub fn of_layout(layout: &Path, more: Vec<Bytes>) -> anyhow::Result<Self> {
        let blob = |descriptor: &Value| -> anyhow::Result<Bytes> {
            let digest = descriptor["digest"].as_str().context("a descriptor without digest")?;
            let digest = digest.strip_prefix("sha256:").context("another digest")?;
            Ok(std::fs::read(layout.join("blobs/sha256").join(digest))?.into())
        };
        let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
        let manifest = blob(&index["manifests"][0])?;
        let named: Value = serde_json::from_slice(&manifest)?;
        let listed = named["layers"].as_array().context("no layers")?;
        let mut layers = listed.iter().map(blob).collect::<anyhow::Result<Vec<_>>>()?;
        layers.extend(more);
        Ok(Self { layers, config: blob(&named["config"])?, manifest })
    }

    /// The layers' bytes.
    #[must_use]
    pub fn layers(&self) -> Vec<Bytes> {
        self.layers.clone()
    }

    /// The config and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The manifest's bytes.
    #[must_use]
    pub const fn manifest(&self) -> &Bytes {
        &self.manifest
    }

    /// The manifest's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The digest of layer `index`.
    #[must_use]
    pub fn layer(&self, index: usize) -> Digest {
        Digest::of(&self.layers[index])
    }

    /// The digests of manifest, config and layers: what a pull leaves behind.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.blobs().map(|blob| Digest::of(blob)).chain([self.digest()]).collect()
    }

    /// How many bytes the blobs have.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs().map(|blob| blob.len() as u64).sum()
    }
}

/// This machine's architecture, as images have it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn descriptor(media_type: &str, bytes: &Bytes) -> serde_json::Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(bytes).to_string(),
        "size": bytes.len(),
    })
}

/// The media type of the index made here.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An index that lists one image, for this machine's platform.
#[must_use]
pub fn index(image: &Image) -> Bytes {
    let mut listed = descriptor(MANIFEST, image.manifest());
    listed["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] });
    Bytes::from(index.to_string())
}

/// Random bytes, other ones at each call.
///
/// # Panics
/// If the kernel has none.
#[must_use]
pub fn random(length: usize) -> Bytes {
    use std::io::Read;
    let mut bytes = vec![0; length];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("the kernel gives random bytes");
    bytes.into()
}
