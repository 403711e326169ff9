//! A chunked image changed by somebody who may write all of it: whatever is changed, the digests
//! and lengths that stand around it are made right again.

use std::io::Read;

use content::Digest;
use image_builder::convert::{Format, Options, Progress, convert};
use image_builder::oci::{Descriptor, annotation};
use layer::MemberKind;
use rafs::{ChunkSize, Compressor, Digester};
use serde_json::{Value, json};

use super::files::{Tar, text};
use super::memory::Memory;
use super::{gzip, layout};

/// The files of a bootstrap's layer, in their order.
pub(crate) type Members = Vec<(String, Vec<u8>)>;

/// The chunked image of these layers.
pub(crate) fn chunked(layers: &[Vec<u8>], format: Format) -> Memory {
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), layers);
    let source = format!("oci:{}:v1", folder.path().display()).parse().unwrap();
    let source = super::client().open(&source).unwrap();
    let target = Memory::default();
    let options = Options { format, ..Options::default() };
    convert(&*source, &target, &options, &Progress::default()).unwrap();
    target
}

/// The manifest.
pub(crate) fn manifest(image: &Memory) -> Value {
    serde_json::from_slice(&image.named().unwrap()).unwrap()
}

fn digest(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}

/// The layer with the bootstrap, as it is stored.
pub(crate) fn bootstrap_layer(image: &Memory) -> Vec<u8> {
    let manifest = manifest(image);
    let last = manifest["layers"].as_array().unwrap().last().unwrap();
    image.get(&digest(last)).unwrap().to_vec()
}

/// The first data blob.
pub(crate) fn data_blob(image: &Memory) -> (Digest, Vec<u8>) {
    let digest = digest(&manifest(image)["layers"][0]);
    (digest, image.get(&digest).unwrap().to_vec())
}

/// The tar of the layer with the bootstrap.
pub(crate) fn bootstrap_tar(image: &Memory) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&bootstrap_layer(image)[..]).read_to_end(&mut tar).unwrap();
    tar
}

/// The files in the layer with the bootstrap.
pub(crate) fn members(image: &Memory) -> Members {
    let mut members = Vec::new();
    layer::read_layer(&bootstrap_layer(image)[..], &layer::Options::default(), |member, data| {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        members.push((String::from_utf8(member.path.clone()).unwrap(), bytes));
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    members
}

/// What is said of the tree by who may say it, or by nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    Said,
    Unsaid,
}

/// The image with another tar for its bootstrap.
pub(crate) fn with_tar(image: &Memory, tar: &[u8], root: Root) -> Memory {
    let changed = image.clone();
    let mut manifest = manifest(image);
    let mut config: Value =
        serde_json::from_slice(&image.get(&digest(&manifest["config"])).unwrap()).unwrap();
    let ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
    *ids.last_mut().unwrap() = json!(Digest::of(tar));
    let put = |descriptor: &mut Value, bytes: Vec<u8>| {
        let new = Descriptor::of("", &bytes);
        (descriptor["digest"], descriptor["size"]) = (json!(new.digest), json!(new.size));
        changed.put(bytes);
    };
    put(&mut manifest["config"], config.to_string().into_bytes());
    let last = manifest["layers"].as_array_mut().unwrap().last_mut().unwrap();
    // Not compressed: what it is, its first bytes say.
    put(last, tar.to_vec());
    last["annotations"][annotation::UNCOMPRESSED] = json!(Digest::of(tar));
    if root == Root::Unsaid {
        manifest["annotations"].as_object_mut().unwrap().remove(annotation::MERKLE_ROOT);
    }
    changed.name(manifest.to_string());
    changed
}

/// The image with other files in the layer of its bootstrap.
pub(crate) fn with_members(image: &Memory, members: &Members, root: Root) -> Memory {
    let tar = members.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes));
    with_tar(image, &tar.done(), root)
}

/// The image with its bootstrap changed, and nothing beside it that knows better.
pub(crate) fn with_bootstrap(image: &Memory, change: impl FnOnce(&mut Vec<u8>)) -> Memory {
    let mut members = members(image);
    members.retain(|(name, _)| name != "image/image.merkle");
    let (_, bootstrap) = members.iter_mut().find(|(name, _)| name == "image/image.boot").unwrap();
    change(bootstrap);
    with_members(image, &members, Root::Unsaid)
}

/// A small image with one of everything, in two layers.
pub(crate) fn small(format: Format) -> Memory {
    let lower = Tar::new()
        .put("one", MemberKind::Directory, "", b"")
        .put("one/inner", MemberKind::Directory, "", b"")
        .put("two", MemberKind::Directory, "", b"")
        .file("file", &text(1, 9000))
        .file("other", &text(2, 3000))
        .put("link", MemberKind::HardLink, "file", b"")
        .put("symlink", MemberKind::Symlink, "one/inner", b"")
        .put("pipe", MemberKind::Fifo, "", b"")
        .done();
    let upper = Tar::new().file("small", b"small").file(".wh.other", b"").done();
    chunked(&[gzip(&lower), gzip(&upper)], format)
}

/// Ways to store chunks that differ much.
pub(crate) fn formats() -> Vec<Format> {
    let base = Format { chunk_size: ChunkSize::new(4096).unwrap(), ..Format::default() };
    vec![
        base,
        Format { compressor: Compressor::None, batch_size: None, ..base },
        Format { compressor: Compressor::Lz4, digester: Digester::Blake3, ..base },
    ]
}
