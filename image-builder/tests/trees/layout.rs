//! A sample as an OCI layout, as converters push one: its blob, its bootstrap in a layer.

use std::fs;
use std::io::Write;
use std::path::Path;

use content::Digest;
use flate2::{Compression, GzBuilder};
use image_builder::opened::Opened;
use layer::{Member, MemberKind, TarWriter};
use serde_json::{Value, json};
use tree::{Meta, Mode};

/// What is left out or put wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    Root,
    Unlisted,
    DiffIds,
    Merkle,
}

fn blob(folder: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(digest.to_hex()), bytes).unwrap();
    digest
}

fn describe(media_type: &str, bytes: &[u8], digest: Digest, annotations: &Value) -> Value {
    json!({
        "mediaType": media_type, "digest": digest, "size": bytes.len(), "annotations": annotations,
    })
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, bytes) in files {
        let member = Member {
            path: name.clone().into_bytes(),
            kind: MemberKind::File,
            link: Vec::new(),
            meta: Meta { mode: Mode::new(0o644), ..Meta::default() },
            size: bytes.len() as u64,
            extents: Vec::new(),
        };
        tar.append(&member, |out| out.write_all(bytes)).unwrap();
    }
    tar.finish().unwrap()
}

/// Writes the layout; its only image is the sample, whose blob has its true name.
pub(crate) fn write(folder: &Path, sample: &Path, opened: &Opened, wrong: Wrong) {
    let data = fs::read_dir(sample.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let data = fs::read(data).unwrap();
    let data_digest = blob(folder, &data);
    let mut merkle = opened.hashes().to_bytes(opened.tree());
    if wrong == Wrong::Merkle {
        let last = merkle.len() - 1;
        merkle[last] ^= 1;
    }
    let tar = tar(&[
        ("image/image.boot".to_owned(), fs::read(sample.join("bootstrap")).unwrap()),
        ("image/image.merkle".to_owned(), merkle),
    ]);
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    let layer = gzip.finish().unwrap();
    let layer_digest = blob(folder, &layer);
    let last = if wrong == Wrong::DiffIds { layer_digest } else { Digest::of(&tar) };
    let mut diff_ids = vec![data_digest, last];
    let mut layers = vec![
        describe(
            "application/vnd.oci.image.layer.nydus.blob.v1",
            &data,
            data_digest,
            &json!({"containerd.io/snapshot/nydus-blob": "true"}),
        ),
        describe(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &layer,
            layer_digest,
            &json!({
                "containerd.io/snapshot/nydus-bootstrap": "true",
                "containerd.io/snapshot/nydus-fs-version": "6",
            }),
        ),
    ];
    if wrong == Wrong::Unlisted {
        layers.remove(0);
        diff_ids.remove(0);
    }
    let root = if wrong == Wrong::Root { Digest::of(b"") } else { opened.hashes().root() };
    finish(folder, &layers, &diff_ids, root);
}

/// Configuration, manifest, index.
fn finish(folder: &Path, layers: &[Value], diff_ids: &[Digest], root: Digest) {
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let config_digest = blob(folder, &config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest,
            "size": config.len(),
        },
        "layers": layers,
        "annotations": {"io.meganeura.merkle-root": root},
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = blob(folder, &manifest);
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "v1"},
        }],
    });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
