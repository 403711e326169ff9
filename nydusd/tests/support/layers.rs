//! An image of many layers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use content::Digest;
use image_builder::convert::{Options, Progress, convert};
use image_builder::place::Place;
use image_builder::store::{Access, Client};
use serde_json::{Value, json};
use testbed::text;

use super::{Node, done};

/// A chunked image of so many layers, each with a file of its own and one that the next replaces, and
/// the tree that they make together.
pub(crate) fn layered(node: &Node, count: u8) -> (PathBuf, PathBuf) {
    let (tree, plain, chunked) = (node.path("tree"), node.path("plain"), node.path("chunked"));
    let (layer, blobs) = (node.path("layer"), plain.join("blobs/sha256"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir(&tree).unwrap();
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for number in 0..count {
        let _ = fs::remove_dir_all(&layer);
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join(format!("file-{number}")), text(number.into(), 70_000)).unwrap();
        fs::write(layer.join("last"), format!("of layer {number}")).unwrap();
        done(Command::new("cp").arg("-a").arg(layer.join(".")).arg(&tree));
        let tar = node.path("layer.tar");
        done(Command::new("tar").arg("-C").arg(&layer).arg("-cf").arg(&tar).arg("."));
        let bytes = fs::read(&tar).unwrap();
        diff_ids.push(Digest::of(&bytes).to_string());
        layers.push(put(&blobs, "application/vnd.oci.image.layer.v1.tar", &bytes));
    }
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let kind = |what: &str| format!("application/vnd.oci.image.{what}.v1+json");
    let config = put(&blobs, &kind("config"), config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind("manifest"), "config": config, "layers": layers,
    });
    let mut manifest = put(&blobs, &kind("manifest"), manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(plain.join("index.json"), index.to_string()).unwrap();
    fs::write(plain.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    converted(&plain, &chunked);
    (tree, chunked)
}

/// Puts a blob into a layout; its descriptor.
fn put(blobs: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    fs::write(blobs.join(digest.to_hex()), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

fn converted(plain: &Path, chunked: &Path) {
    let place =
        |layout: &Path| -> Place { format!("oci:{}:v1", layout.display()).parse().unwrap() };
    let client = Client::new(Access::default()).unwrap();
    let from = client.open(&place(plain)).unwrap();
    let to = client.create(&place(chunked)).unwrap();
    convert(&*from, &*to, &Options::default(), &Progress::default()).unwrap();
}
