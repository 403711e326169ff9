//! Whatever stands in a manifest, an index, a config or a list of images: it is taken or refused,
//! nothing panics, and what is refused leaves no image behind.
//!
//! Runs as a plain test; `cargo bolero test` runs the same targets under a fuzzer. Bytes by chance
//! are no JSON, so most inputs are changes to what is right: a value put for another, a value
//! taken away, or a byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use content::Digest;
use image_builder::check::image::check as check_around;
use image_builder::convert::{Options, Progress, Publish, convert};
use image_builder::oci::{Descriptor, Platform, Top, media_type};
use image_builder::opened::choose::{Want, choose};
use image_builder::opened::store::{Reach, open};
use image_builder::place::Place;
use image_builder::store::{Document, Store};
use serde_json::{Value, json};

use support::client;
use support::files::{Tar, text};
use support::memory::Memory;
use support::spoil::{Change, spoilt};

/// A good image, ordinary and chunked, and an index of the ordinary one.
struct Good {
    source: Memory,
    manifest: Value,
    config: Value,
    index: Value,
    chunked: Memory,
    chunked_manifest: Value,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let source = Memory::default();
    let layer = Tar::new().file("a", &text(1, 9000)).file("b", b"b").done();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        "history": [{"created_by": "somebody"}],
    });
    let manifest = manifest(&source, config.to_string().as_bytes(), &layer);
    let listed = Descriptor {
        platform: Some("linux/amd64".parse().unwrap()),
        ..Descriptor::of(media_type::OCI_MANIFEST, manifest.to_string().as_bytes())
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [listed],
        "annotations": {"a": "b"},
    });
    source.name(manifest.to_string());
    let chunked = Memory::default();
    convert(&source, &chunked, &Options::default(), &Progress::default()).unwrap();
    let chunked_manifest = serde_json::from_slice(&chunked.named().unwrap()).unwrap();
    Good { source, manifest, config, index, chunked, chunked_manifest }
});

/// The manifest of an image of one layer; its blobs are held.
fn manifest(store: &Memory, config: &[u8], layer: &[u8]) -> Value {
    for blob in [config, layer] {
        store.put(blob.to_vec());
    }
    json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, config),
        "layers": [Descriptor::of(media_type::OCI_LAYER, layer)],
        "annotations": {"a": "b"},
    })
}

fn options(which: u8) -> Options {
    let publish = [Publish::Alone, Publish::Index, Publish::Referrer][usize::from(which % 3)];
    let platforms: Vec<Platform> =
        if which & 4 == 0 { Vec::new() } else { vec!["linux/amd64".parse().unwrap()] };
    Options { publish, platforms, docker: which & 8 != 0, jobs: 1, ..Options::default() }
}

/// Converts what `top` leads to. What is made can be read; what is refused has no name.
fn try_convert(source: &Memory, top: Vec<u8>, which: u8) {
    source.name(top);
    let target = Memory::default();
    match convert(source, &target, &options(which), &Progress::default()) {
        Ok(report) => {
            let named = target.named().expect("an image");
            assert_eq!(report.target.digest, Digest::of(&named));
            Document::new(named, None).expect("what was written can be read");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(target.named(), None, "{error}");
        }
    }
}

/// Opens what `top` leads to as a chunked image, and looks around it.
fn try_open(store: &Memory, top: Vec<u8>) {
    store.name(top);
    let store: Arc<dyn Store> = Arc::new(store.clone());
    for want in [Want::Ordinary, Want::Chunked] {
        let Ok(document) = choose(&store, want, None) else { continue };
        if let Ok(chunked) = open(Arc::clone(&store), document, Reach::Parts) {
            let _ = check_around(&chunked);
        }
    }
}

/// Read, it says the same when it is written again.
fn read(bytes: &[u8]) {
    let Ok(top) = Top::parse(bytes) else { return };
    let again = match &top {
        Top::Manifest(manifest) => serde_json::to_vec(manifest),
        Top::Index(index) => serde_json::to_vec(index),
    };
    assert_eq!(Top::parse(&again.unwrap()).expect("own documents can be read"), top);
    Document::new(Bytes::copy_from_slice(bytes), None).expect("it was read");
}

#[test]
fn any_document() {
    bolero::check!().for_each(read);
}

#[test]
fn documents_changed() {
    let good = &*GOOD;
    let all = [&good.manifest, &good.index, &good.chunked_manifest];
    all.iter().for_each(|good| read(good.to_string().as_bytes()));
    bolero::check!().with_type::<(u8, Vec<Change>, Option<Change>)>().for_each(
        |(which, changes, byte)| {
            read(&spoilt(all[usize::from(*which) % all.len()], changes, *byte));
        },
    );
}

#[test]
fn converting_from_any_manifest() {
    let good = &*GOOD;
    try_convert(&good.source.clone(), good.manifest.to_string().into(), 0);
    bolero::check!().with_type::<(u8, Vec<Change>, Option<Change>)>().for_each(
        |(which, changes, byte)| {
            try_convert(&good.source.clone(), spoilt(&good.manifest, changes, *byte), *which);
        },
    );
}

#[test]
fn converting_from_any_index() {
    let good = &*GOOD;
    try_convert(&good.source.clone(), good.index.to_string().into(), 1);
    bolero::check!().with_type::<(u8, Vec<Change>, Option<Change>)>().for_each(
        |(which, changes, byte)| {
            try_convert(&good.source.clone(), spoilt(&good.index, changes, *byte), *which);
        },
    );
}

#[test]
fn converting_with_any_config() {
    let good = &*GOOD;
    let layer: Digest = good.manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let layer = good.source.get(&layer).unwrap();
    bolero::check!().with_type::<(u8, Vec<Change>, Option<Change>)>().for_each(
        |(which, changes, byte)| {
            let source = Memory::default();
            let config = spoilt(&good.config, changes, *byte);
            let manifest = manifest(&source, &config, &layer);
            try_convert(&source, manifest.to_string().into(), *which);
        },
    );
}

#[test]
fn opening_any_chunked_image() {
    let good = &*GOOD;
    try_open(&good.chunked, good.chunked_manifest.to_string().into());
    let config: Digest =
        good.chunked_manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let config: Value = serde_json::from_slice(&good.chunked.get(&config).unwrap()).unwrap();
    bolero::check!().with_type::<(bool, Vec<Change>, Option<Change>)>().for_each(
        |(configured, changes, byte)| {
            let store = good.chunked.clone();
            let mut top = spoilt(&good.chunked_manifest, changes, *byte);
            if *configured {
                let config = spoilt(&config, changes, *byte);
                let mut manifest = good.chunked_manifest.clone();
                manifest["config"] = json!(Descriptor::of(media_type::OCI_CONFIG, &config));
                store.put(config);
                top = manifest.to_string().into();
            }
            try_open(&store, top);
        },
    );
}

/// What a layout's or an archive's own list says, on disk.
#[test]
fn lists_of_images_changed() {
    let folder = tempfile::tempdir().unwrap();
    let layer = Tar::new().file("a", b"a").done();
    let manifest = support::layout(folder.path(), std::slice::from_ref(&layer));
    let index = std::fs::read(folder.path().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let list = json!([{"Config": "config", "RepoTags": ["a/b:v1"], "Layers": ["l/layer.tar"]}]);
    let place: Place = format!("oci:{}:v1", folder.path().display()).parse().unwrap();
    let client = client();
    let top = client.open(&place).unwrap().top().unwrap();
    assert_eq!(top.descriptor.digest, manifest.digest);
    bolero::check!().with_type::<(bool, Vec<Change>, Option<Change>)>().for_each(
        |(docker, changes, byte)| {
            if *docker {
                let tar = Tar::new()
                    .file("manifest.json", &spoilt(&list, changes, *byte))
                    .file("config", GOOD.config.to_string().as_bytes())
                    .file("l/layer.tar", &layer);
                let file = folder.path().join("saved.tar");
                std::fs::write(&file, tar.done()).unwrap();
                let place: Place = format!("docker-archive:{}", file.display()).parse().unwrap();
                let _ = client.open(&place).map(|store| store.top().is_ok());
            } else {
                let bytes = spoilt(&index, changes, *byte);
                std::fs::write(folder.path().join("index.json"), bytes).unwrap();
                let _ = client.open(&place).map(|store| store.top().is_ok());
            }
        },
    );
}

#[test]
fn any_place_and_any_platform() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(platform) = text.parse::<Platform>() {
            assert_eq!(platform.to_string(), text);
        }
        // What is shown of a place is that place.
        if let Ok(place @ Place::Registry { .. }) = text.parse::<Place>() {
            assert_eq!(format!("docker://{place}").parse::<Place>().unwrap(), place);
        }
    });
}
