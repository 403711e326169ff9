//! What `docker save` writes: `manifest.json`, a config and a tar for each layer, under any names.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use content::{BlobHasher, Digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::StoreError;
use super::index;
use super::members::{Members, Span};
use crate::oci::{Descriptor, media_type};
use crate::place::Place;

/// What the manifests made here are.
pub(crate) const MANIFEST: &str = media_type::DOCKER_MANIFEST;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image, with the manifest that a registry would have.
#[derive(Debug)]
pub(crate) struct DockerImage {
    pub(crate) tags: Vec<String>,
    pub(crate) manifest: Bytes,
    pub(crate) blobs: BTreeMap<Digest, Span>,
}

/// All images of an archive whose `manifest.json` is `list`.
pub(crate) fn images(
    members: &Members,
    list: &[u8],
    path: &Path,
) -> Result<Vec<DockerImage>, StoreError> {
    let bad = || StoreError::NoArchive(path.to_owned());
    let listed: Vec<Listed> = serde_json::from_slice(list).map_err(|_| bad())?;
    listed.into_iter().map(|image| one(members, image, path)).collect()
}

fn one(members: &Members, image: Listed, path: &Path) -> Result<DockerImage, StoreError> {
    let missing =
        |what: &str| StoreError::MissingMember { what: what.to_owned(), path: path.to_owned() };
    let config = members.read(&image.config)?.ok_or_else(|| missing(&image.config))?;
    let span = members.get(&image.config).ok_or_else(|| missing(&image.config))?;
    let mut blobs = BTreeMap::from([(Digest::of(&config), span)]);
    let ids = diff_ids(&config);
    let mut layers = Vec::new();
    for (number, name) in image.layers.iter().enumerate() {
        let span = members.get(name).ok_or_else(|| missing(name))?;
        let told = ids.get(number).copied();
        let (digest, kind) = layer(members, span, told).map_err(StoreError::file(path))?;
        blobs.insert(digest, span);
        layers.push(Descriptor::new(kind, digest, span.length));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::of(media_type::DOCKER_CONFIG, &config),
        "layers": layers,
    });
    let manifest = Bytes::from(index::json(&manifest));
    let tags = image.repo_tags.unwrap_or_default().iter().map(|tag| full_name(tag)).collect();
    Ok(DockerImage { tags, manifest, blobs })
}

/// An image's name with the registry that docker leaves out.
pub(crate) fn full_name(name: &str) -> String {
    let place = format!("docker://{name}").parse::<Place>();
    place.map_or_else(|_| name.to_owned(), |place| place.to_string())
}

/// What the config says that the layers are, unpacked. It is checked when they are read.
fn diff_ids(config: &[u8]) -> Vec<Digest> {
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    let ids = config.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(|id| id.as_str()?.parse().ok()).collect()
}

/// A layer's digest, and what it is. A plain tar's is in the config; only others must be read.
fn layer(
    members: &Members,
    span: Span,
    told: Option<Digest>,
) -> std::io::Result<(Digest, &'static str)> {
    let mut head = [0; 2];
    let gzip = members.part(span, 0..2).read_exact(&mut head).is_ok() && head == [0x1f, 0x8b];
    match (told, gzip) {
        (Some(told), false) => Ok((told, media_type::OCI_LAYER)),
        _ => {
            let mut hasher = BlobHasher::new();
            let mut part = members.part(span, 0..span.length);
            let mut buffer = vec![0; 256 << 10];
            loop {
                match part.read(&mut buffer)? {
                    0 => break,
                    read => hasher.update(buffer.get(..read).unwrap_or_default()),
                }
            }
            let kind = if gzip { media_type::DOCKER_LAYER_GZIP } else { media_type::OCI_LAYER };
            Ok((hasher.finish(), kind))
        }
    }
}
