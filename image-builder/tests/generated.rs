//! Images by chance, through the whole program and back: what is unpacked is what went in, by a
//! model that shares nothing with the program, and by `umoci unpack`.
//!
//! Two dozen images here; `make soak` makes many.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod model;
mod support;
mod trees;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use content::Digest;
use image_builder::oci::{Descriptor, annotation, media_type};
use model::chance::{Image, Layer, Packing, images};
use model::listing::{Listing, differences, of_folder, of_tar};
use proptest::prelude::*;
use serde_json::json;
use trees::is_root;

/// How many images.
const CASES: u32 = if cfg!(feature = "soak") { 1000 } else { 24 };

/// zstd under a media type that says so; not every tool knows it.
const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn run(program: &str, args: &[&str], at: &Path) -> Result<(), TestCaseError> {
    let output = Command::new(program).args(args).current_dir(at).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    prop_assert!(output.status.success(), "{program} {args:?}: {said}");
    Ok(())
}

fn builder(args: &[&str], at: &Path) -> Result<(), TestCaseError> {
    run(env!("CARGO_BIN_EXE_image-builder"), args, at)
}

fn packed(layer: &Layer) -> (&'static str, Vec<u8>) {
    let tar = &layer.tar;
    match &layer.packing {
        Packing::Plain => (media_type::OCI_LAYER, tar.clone()),
        Packing::Gzip => (media_type::OCI_LAYER_GZIP, support::gzip(tar)),
        Packing::Members(cuts) => {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(tar.len())).collect();
            cuts.extend([0, tar.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| support::gzip(&tar[pair[0]..pair[1]]));
            (media_type::OCI_LAYER_GZIP, parts.collect::<Vec<_>>().concat())
        }
        Packing::Zstd => (OCI_LAYER_ZSTD, zstd(tar)),
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tar");
    fs::write(&file, bytes).unwrap();
    let output = Command::new("zstd").args(["-q", "-c"]).arg(&file).output().expect("zstd");
    assert!(output.status.success());
    output.stdout
}

/// An OCI layout with one image, `v1`, of these layers: how each is packed, and its tar.
fn layout(folder: &Path, layers: &[(&str, Vec<u8>, &[u8])]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(kind, bytes);
        let mut file = fs::File::create(blobs.join(descriptor.digest.to_hex())).unwrap();
        file.write_all(bytes).unwrap();
        descriptor
    };
    let ids: Vec<_> = layers.iter().map(|(_, _, tar)| Digest::of(tar)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = put(media_type::OCI_CONFIG, config.to_string().as_bytes());
    let layers: Vec<_> = layers.iter().map(|(kind, bytes, _)| put(kind, bytes)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config,
        "layers": layers,
    });
    let manifest = put(media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    let named = manifest.annotated(annotation::REF_NAME, "v1");
    let index = json!({"schemaVersion": 2, "manifests": [named]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn assert_same(what: &str, wanted: &Listing, found: &Listing) -> Result<(), TestCaseError> {
    let told = differences(wanted, found);
    prop_assert!(told.is_empty(), "{what}:\n{}", told.join("\n"));
    Ok(())
}

/// Some of the ways to store chunks, by turns.
const FORMATS: [&[&str]; 5] = [
    &[],
    &["--chunk-size", "4k", "--digester", "blake3"],
    &["--compressor", "none", "--chunk-size", "64k"],
    &["--compressor", "lz4_block", "--batch-size", "0"],
    &["--chunk-size", "16m", "--batch-size", "1m", "--jobs", "1"],
];

fn there_and_back(image: &Image, format: &[&str], with_umoci: bool) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let wanted = image.state.listing();
    let all: Vec<_> = image
        .layers
        .iter()
        .map(|layer| {
            let (kind, bytes) = packed(layer);
            (kind, bytes, &layer.tar[..])
        })
        .collect();
    layout(&at.join("in"), &all);
    builder(&[&["convert", "oci:in:v1", "oci:out:v1"], format].concat(), at)?;
    builder(&["check", "oci:out:v1", "--against", "oci:in:v1"], at)?;
    builder(&["unpack", "oci:out:v1", "--tar", "tree.tar"], at)?;
    let tar = of_tar(fs::File::open(at.join("tree.tar")).unwrap());
    assert_same("the tar", &wanted, &tar)?;
    if !is_root() {
        return Ok(());
    }
    builder(&["unpack", "oci:out:v1", "--dir", "tree"], at)?;
    let found = of_folder(&at.join("tree"));
    assert_same("the folder", &wanted, &found)?;
    // What umoci makes of directories that nobody described is the kernel's doing: a group from
    // the one above, the time of the day, there too.
    if with_umoci && !image.implied {
        let simple = image.layers.iter().map(|layer| &layer.simple);
        let plain: Vec<_> =
            simple.map(|tar| (media_type::OCI_LAYER, tar.clone(), &tar[..])).collect();
        layout(&at.join("plain"), &plain);
        run("umoci", &["unpack", "--image", "plain:v1", "bundle"], at)?;
        assert_same("umoci", &wanted, &of_folder(&at.join("bundle/rootfs")))?;
    }
    Ok(())
}

fn has_umoci() -> bool {
    let there = Command::new("umoci").arg("--version").output().is_ok();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI must have umoci");
        eprintln!("SKIPPED: there is no umoci to compare with");
    }
    there
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(CASES)
    })]

    #[test]
    fn what_went_in_comes_out(image in images(), format in 0..FORMATS.len()) {
        there_and_back(&image, FORMATS[format], has_umoci())?;
    }
}
