//! Merging bootstraps of layers: whiteouts and opaque directories of both kinds, several blobs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path as FilePath;

use image_builder::merge::{MergeError, Source, merge};
use rafs::{Bootstrap, ChunkSize, Compressor, Content, Digester, Image};
use tree::{Device, Inode, Meta, Path, Tree};

fn path(text: &str) -> Path {
    Path::parse(text.as_bytes()).unwrap()
}

fn empty_file() -> Inode<Content> {
    Inode::file(Meta::default(), Content::default())
}

fn layer(name: &str, chunk_size: u32, make: impl FnOnce(&mut Tree<Content>)) -> Source {
    let mut tree = Tree::default();
    make(&mut tree);
    let image = Image {
        tree,
        chunks: Vec::new(),
        blobs: Vec::new(),
        chunk_size: ChunkSize::new(chunk_size).unwrap(),
        compressor: Compressor::Zstd,
        digester: Digester::Sha256,
        inlined_digests: false,
        prefetch: Vec::new(),
    };
    Source { name: name.into(), bytes: image.write().unwrap() }
}

fn files(image: &Image) -> Vec<String> {
    let mut walk = image.tree.walk();
    let mut paths = Vec::new();
    while let Some(visit) = walk.next() {
        if !visit.inode.is_directory() {
            paths.push(walk.path().to_string());
        }
    }
    paths
}

#[test]
fn whiteouts_of_both_kinds_hide_what_lies_under_them() {
    let put = |tree: &mut Tree<Content>, names: &[&str]| {
        for name in names {
            tree.insert_at(&path(name), empty_file()).unwrap();
        }
    };
    let lower = layer("a", 1 << 20, |tree| {
        put(tree, &["gone", "stays", "old/x", "over/x", "device"]);
    });
    let upper = layer("b", 1 << 20, |tree| {
        put(tree, &[".wh.gone", "old/.wh..wh..opq", "old/new", "over/new"]);
        let meta = Meta {
            xattrs: [(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())].into(),
            ..Meta::implied()
        };
        tree.insert_at(&path("over"), Inode::directory(meta)).unwrap();
        let none = Device { major: 0, minor: 0 };
        tree.insert_at(&path("device"), Inode::char_device(Meta::default(), none)).unwrap();
    });
    let merged = merge(vec![lower, upper]).unwrap();
    assert_eq!(files(&merged), ["/old/new", "/over/new", "/stays"]);
    let over = merged.tree.lookup(&path("over")).unwrap();
    assert!(merged.tree[over].meta.xattrs.is_empty(), "the mark is no attribute of the image");
}

#[test]
fn layers_that_were_cut_differently_are_refused() {
    let of = |name, size| layer(name, size, |_| ());
    let error = merge(vec![of("a", 1 << 20), of("b", 4096)]).unwrap_err();
    assert!(matches!(error, MergeError::Differs { name } if name == "b"));
    assert!(matches!(merge(Vec::new()), Err(MergeError::Nothing)));
    let bad = Source { name: "c".into(), bytes: vec![0; 9000] };
    assert!(matches!(merge(vec![bad]), Err(MergeError::Read { .. })));
}

/// The samples lie beside the checkout, where there are any.
#[test]
fn what_nydus_image_made_merges_to_itself() {
    let samples = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples");
    if !samples.is_dir() {
        eprintln!("no samples beside the checkout: nothing was merged");
        return;
    }
    for sample in ["zstd-blake3", "zstd-sha256-toc", "lz4-sha256", "zstd-batch-blake3"] {
        let bytes = std::fs::read(samples.join(sample).join("bootstrap")).unwrap();
        let own = Bootstrap::parse(bytes.clone()).unwrap().image().unwrap();
        let twice = [0, 1].map(|_| Source { name: sample.into(), bytes: bytes.clone() });
        let merged = merge(twice.into()).unwrap();
        assert_eq!(files(&merged), files(&own), "{sample}");
        assert_eq!(merged.blobs, own.blobs, "{sample}: one blob is listed once");
        let root = |image| image_builder::merkle_of(image).unwrap().root();
        assert_eq!(root(&merged), root(&own), "{sample}");
        Bootstrap::parse(merged.write().unwrap()).unwrap().check().unwrap();
    }
}
