//! Images of known files, and chunked images looked at without the code that is tested.

#![allow(dead_code, reason = "each test uses another part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use content::Digest;
use image_builder::oci::{Descriptor, Manifest, annotation, media_type};
use image_builder::store::{Access, Client, Store};
use layer::read_layer;
use rafs::ci::{CompressionInfo, Location};
use rafs::{Bootstrap, Content, Decoder, Image};
use serde_json::json;
use tree::{Kind, Layer, Tree};

pub(crate) mod files;
pub(crate) mod filling;
pub(crate) mod memory;
pub(crate) mod repack;
pub(crate) mod spoil;

/// What a file has.
pub(crate) type Files = Tree<Vec<u8>>;

/// A client as the program has one.
pub(crate) fn client() -> Client {
    Client::new(Access::default()).unwrap()
}

/// The tar of what `arguments` of GNU tar name.
pub(crate) fn tar(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(["--create", "--file=-"]).args(arguments).output();
    let output = output.expect("GNU tar");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Writes an OCI layout with one image of these layers, named `v1`.
pub(crate) fn layout(folder: &Path, layers: &[Vec<u8>]) -> Descriptor {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(kind, bytes);
        fs::write(blobs.join(descriptor.digest.to_hex()), bytes).unwrap();
        descriptor
    };
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created_by": "somebody"}],
    });
    let config = put(media_type::OCI_CONFIG, config.to_string().as_bytes());
    let layers: Vec<_> =
        layers.iter().map(|layer| put(media_type::OCI_LAYER_GZIP, layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers,
    });
    let manifest = put(media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    let named = manifest.clone().annotated(annotation::REF_NAME, "v1");
    let index = json!({"schemaVersion": 2, "manifests": [named]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    manifest
}

/// What the layers make, by `crates/layer` and `crates/tree` alone.
pub(crate) fn expected(layers: &[Vec<u8>]) -> Files {
    let mut tree = Tree::default();
    for bytes in layers {
        let layer: Layer<Vec<u8>> =
            read_layer(&bytes[..], &layer::Options::default(), |_, data| {
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes).map(|_| bytes)
            })
            .unwrap();
        tree = tree::stack(tree, layer).unwrap();
    }
    tree
}

/// A chunked image, read back.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    pub(crate) image: Image,
    pub(crate) merkle: Vec<u8>,
    pub(crate) files: Files,
}

/// Opens the image of `manifest`, and reads every file with every digest checked.
pub(crate) fn open(store: &dyn Store, manifest: &Manifest) -> Opened {
    let layer = manifest.bootstrap().expect("a bootstrap layer");
    let packed = store.whole_blob(layer, 1 << 30).unwrap();
    let mut members = BTreeMap::new();
    read_layer(&packed[..], &layer::Options::default(), |member, data| {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        members.insert(String::from_utf8(member.path.clone()).unwrap(), bytes);
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    let bootstrap = Bootstrap::parse(members["image/image.boot"].clone()).unwrap();
    bootstrap.check().unwrap();
    let image = bootstrap.image().unwrap();
    let blobs: Vec<(Bytes, CompressionInfo)> = image
        .blobs
        .iter()
        .zip(&manifest.layers)
        .map(|(blob, layer)| {
            assert!(layer.is_data_blob());
            assert_eq!(blob.id.to_string(), layer.digest.to_string());
            let meta = &members[&format!("image/{}.blob.meta", layer.digest.to_hex())];
            let bytes = store.whole_blob(layer, 1 << 30).unwrap();
            (bytes, CompressionInfo::from_file(blob, &Bytes::copy_from_slice(meta)).unwrap())
        })
        .collect();
    let read = |_, content: Content| Ok::<_, ()>(content_of(&image, &blobs, &content));
    let files = image.tree.clone().try_map(read).unwrap();
    let merkle = members.remove("image/image.merkle").unwrap();
    Opened { manifest: manifest.clone(), image, merkle, files }
}

fn content_of(image: &Image, blobs: &[(Bytes, CompressionInfo)], content: &Content) -> Vec<u8> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for id in &content.chunks {
        let info = &image.chunks[id.0 as usize];
        let (blob, meta) = &blobs[usize::from(info.blob)];
        let part = |offset: u64, size: u32| {
            let begin = usize::try_from(offset).unwrap();
            blob.slice(begin..begin + size as usize)
        };
        let (compressor, digester) = (image.compressor, image.digester);
        let chunk = match meta.locate(info).unwrap() {
            Location::Alone { offset, size } => {
                decoder.open(info, compressor, digester, &part(offset, size)).unwrap()
            }
            Location::Batched { batch, at } => decoder
                .open_batch(&batch, compressor, &part(batch.offset, batch.compressed_size))
                .unwrap()
                .chunk(info, digester, at)
                .unwrap(),
        };
        out.extend_from_slice(chunk.bytes());
    }
    assert_eq!(out.len() as u64, content.size);
    out
}

/// Every name with all that is known of it; hard links by the first name of their inode.
pub(crate) fn listed(tree: &Files) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut walk = tree.walk();
    let mut lines = Vec::new();
    while let Some(visit) = walk.next() {
        let path = walk.path().to_string();
        let same = first.entry(visit.id).or_insert_with(|| path.clone()).clone();
        let kind = match visit.inode.kind() {
            Kind::Directory(_) => "directory".to_owned(),
            Kind::File(bytes) => format!("file {} {}", bytes.len(), Digest::of(bytes)),
            other => format!("{other:?}"),
        };
        let meta = &visit.inode.meta;
        lines.push(format!("{path} = {same} {kind} links {} {meta:?}", visit.inode.links()));
    }
    lines
}

/// A scratch folder.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
