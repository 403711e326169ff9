//! Merging bootstraps of layers: whiteouts and opaque directories of both kinds, several blobs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path as FilePath;
use std::process::Command;

use bytes::Bytes;
use image_builder::merge::{MergeError, Source, merge};
use rafs::codec::Encoder;
use rafs::write::{BlobOptions, BlobWriter};
use rafs::{Bootstrap, ChunkId, ChunkSize, Compressor, Content, Digester, Image};
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

#[test]
fn what_nydus_image_made_merges_to_itself() {
    let Some(samples) = testbed::samples() else { return };
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

/// A layer as converters push one before they merge: a data blob that ends with its bootstrap.
fn inline(files: &[(&str, &[u8])]) -> Vec<u8> {
    let encoder = || Encoder::new(Compressor::Zstd, Digester::Sha256, 3).unwrap();
    let options = BlobOptions {
        number: 0,
        chunk_size: ChunkSize::DEFAULT,
        batch_size: None,
        contents: true,
        inline_bootstrap: true,
    };
    let mut blob = BlobWriter::new(options, encoder());
    let (mut out, mut tree) = (Vec::new(), Tree::default());
    for (name, bytes) in files {
        let mut content = Content { size: bytes.len() as u64, chunks: Box::default() };
        if !bytes.is_empty() {
            let chunk = encoder().encode(Bytes::copy_from_slice(bytes)).unwrap();
            content.chunks = [ChunkId(blob.push(chunk, &mut out).unwrap().0)].into();
        }
        tree.insert_at(&path(name), Inode::file(Meta::default(), content)).unwrap();
    }
    let tail = blob.finish_chunks(&mut out).unwrap();
    let image = Image {
        tree,
        chunks: tail.chunks().to_vec(),
        blobs: vec![tail.blob().clone()],
        chunk_size: ChunkSize::DEFAULT,
        compressor: Compressor::Zstd,
        digester: Digester::Sha256,
        inlined_digests: true,
        prefetch: Vec::new(),
    };
    tail.finish(Some(&image.write().unwrap()), &mut out).unwrap();
    out.concat()
}

fn builder(args: &[&str], at: &FilePath) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    let output = command.args(args).current_dir(at).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}{}", output.stdout.escape_ascii());
    output.stdout
}

#[test]
fn bootstraps_that_lie_in_their_blobs_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("blobs")).unwrap();
    let layers = [
        inline(&[("gone", b"never seen"), ("kept", b"from below"), ("over/a", b"old")]),
        inline(&[(".wh.gone", b""), ("new", b"from above"), ("over/a", b"new")]),
    ];
    let names = layers.each_ref().map(|blob| {
        let name = format!("blobs/{}", content::Digest::of(blob).to_hex());
        fs::write(at.join(&name), blob).unwrap();
        name
    });
    builder(&["merge", "-B", "bootstrap", &names[0], &names[1]], at);
    let listed = builder(&["ls", "-R", "bootstrap", "/"], at);
    assert!(!String::from_utf8_lossy(&listed).contains("gone"));
    for (name, bytes) in [("/kept", "from below"), ("/new", "from above"), ("/over/a", "new")] {
        assert_eq!(builder(&["cat", "bootstrap", name], at), bytes.as_bytes(), "{name}");
    }
    builder(&["check", "bootstrap"], at);
    // A data blob that has none is not taken for one.
    let none = Source { name: "x".into(), bytes: b"no bootstrap at all".repeat(1000) };
    assert!(merge(vec![none]).is_err());
    // One that is damaged is not, either.
    let mut bad = layers[0].clone();
    let middle = bad.len() - 2000;
    bad[middle] ^= 1;
    let name = content::Digest::of(&bad).to_hex();
    assert!(merge(vec![Source { name, bytes: bad }]).is_err());
}

#[test]
fn what_nydus_image_puts_into_a_blob_merges_to_itself() {
    let Some(samples) = testbed::samples() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blob = fs::read_dir(samples.join("tar-inline-toc/blobs")).unwrap().next().unwrap().unwrap();
    let blobs = folder.path().join("blobs");
    fs::create_dir(&blobs).unwrap();
    // Its name there leaves some of its bytes out; as a layer of a manifest it has this one.
    let bytes = fs::read(blob.path()).unwrap();
    let file = format!("blobs/{}", content::Digest::of(&bytes).to_hex());
    fs::write(folder.path().join(&file), bytes).unwrap();
    builder(&["merge", "-B", "bootstrap", &file], folder.path());
    builder(&["check", "bootstrap"], folder.path());
    let diff = builder(&["diff", "bootstrap", &file, "--json"], folder.path());
    let diff: serde_json::Value = serde_json::from_slice(&diff).unwrap();
    assert_eq!(diff["differences"], serde_json::json!([]));
}
