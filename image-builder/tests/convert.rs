//! Converting: what comes out is what went in, whatever it was in and is in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;

use image_builder::convert::{Format, Options, Progress, Report, convert};
use image_builder::oci::annotation;
use image_builder::place::Place;
use image_builder::store::Document;
use rafs::{ChunkSize, Compressor, Digester};

use support::files::{Tar, every_kind, text};
use support::{Opened, client, expected, gzip, layout, listed, open, scratch, tar};

fn place(prefix: &str, path: &Path, tag: &str) -> Place {
    format!("{prefix}:{}:{tag}", path.display()).parse().unwrap()
}

fn run(source: &Place, target: &Place, options: &Options) -> Report {
    let (from, to) = (client().open(source).unwrap(), client().create(target).unwrap());
    convert(&*from, &*to, options, &Progress::default()).unwrap()
}

fn opened(target: &Place) -> (Document, Opened) {
    let store = client().open(target).unwrap();
    let top = store.top().unwrap();
    let opened = open(&*store, top.manifest().expect("a manifest"));
    (top, opened)
}

fn formats() -> Vec<Format> {
    let base = Format::default();
    vec![
        base,
        Format { batch_size: None, ..base },
        Format { compressor: Compressor::Lz4, digester: Digester::Blake3, ..base },
        Format { compressor: Compressor::None, chunk_size: ChunkSize::new(4096).unwrap(), ..base },
    ]
}

#[test]
fn every_kind_of_file_comes_through_in_every_format() {
    let (_folder, path) = scratch();
    let layers: Vec<_> = every_kind().iter().map(|layer| gzip(layer)).collect();
    layout(&path.join("in"), &layers);
    let wanted = listed(&expected(&layers));
    for (number, format) in formats().into_iter().enumerate() {
        let target = place("oci", &path.join(format!("out{number}")), "v1");
        let options = Options { format, ..Options::default() };
        let report = run(&place("oci", &path.join("in"), "v1"), &target, &options);
        let (top, opened) = opened(&target);
        assert_eq!(listed(&opened.files), wanted, "{format:?}");
        assert_eq!(report.target.digest, top.descriptor.digest);
        let root = opened.manifest.annotations[annotation::MERKLE_ROOT].clone();
        let hashes = image_builder::merkle_of(&opened.image).unwrap();
        assert_eq!(root, hashes.root().to_string());
        assert_eq!(opened.merkle, hashes.to_bytes(&opened.image.tree));
    }
}

#[test]
fn real_files_come_through() {
    let (_folder, path) = scratch();
    let layers = [
        gzip(&tar(&["--format=pax", "--directory=/usr", "share/zoneinfo"])),
        gzip(&tar(&["--format=gnu", "--directory=/usr", "share/perl5", "sbin"])),
    ];
    layout(&path.join("in"), &layers);
    let target = place("oci", &path.join("out"), "v1");
    run(&place("oci", &path.join("in"), "v1"), &target, &Options::default());
    let (_, opened) = opened(&target);
    assert_eq!(listed(&opened.files), listed(&expected(&layers)));
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_runs_beside_it() {
    let (_folder, path) = scratch();
    let layers: Vec<_> = (0..6)
        .map(|n| {
            let tar = Tar::new().file("a", &text(n % 3, 3_000_000)).file("b", &text(n, 70_000));
            gzip(&tar.file(&format!("c{n}"), &text(9, 9)).done())
        })
        .collect();
    layout(&path.join("in"), &layers);
    let digests: Vec<_> = [1, 2, 6, 1]
        .into_iter()
        .enumerate()
        .map(|(number, jobs)| {
            let target = place("oci", &path.join(format!("out{number}")), "v1");
            let options = Options { jobs, ..Options::default() };
            run(&place("oci", &path.join("in"), "v1"), &target, &options).target.digest
        })
        .collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn chunks_that_are_there_twice_are_fetched_once() {
    let (_folder, path) = scratch();
    let same = Tar::new().file("a", &text(1, 3_000_000)).done();
    let other = Tar::new().file("b", &text(1, 3_000_000)).done();
    let layers = [gzip(&same), gzip(&other), gzip(&same)];
    layout(&path.join("in"), &layers);
    let target = place("oci", &path.join("out"), "v1");
    run(&place("oci", &path.join("in"), "v1"), &target, &Options::default());
    let (_, opened) = opened(&target);
    assert_eq!(opened.image.chunks.len(), 3);
    assert_eq!(opened.image.blobs.len(), 1, "nobody needs the other blobs");
    assert_eq!(opened.manifest.layers.len(), 2);
    assert_eq!(listed(&opened.files), listed(&expected(&layers)));
}

#[test]
fn an_image_without_any_byte_has_no_data_blob() {
    let (_folder, path) = scratch();
    let layers = [gzip(&Tar::new().file("empty", b"").done())];
    layout(&path.join("in"), &layers);
    let target = place("oci", &path.join("out"), "v1");
    run(&place("oci", &path.join("in"), "v1"), &target, &Options::default());
    let (_, opened) = opened(&target);
    assert_eq!(opened.manifest.layers.len(), 1);
    assert_eq!(listed(&opened.files), listed(&expected(&layers)));
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_refused_and_nothing_gets_a_name() {
    let (_folder, path) = scratch();
    let layers = [gzip(&Tar::new().file("a", &text(1, 3_000_000)).done())];
    layout(&path.join("in"), &layers);
    let digest = content::Digest::of(&layers[0]);
    let blob = path.join("in/blobs/sha256").join(digest.to_hex());
    // Behind the tar's end, where only the digest can tell.
    let mut longer = layers[0].clone();
    longer.extend_from_slice(&gzip(b"more"));
    let mut flipped = layers[0].clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bad in [&longer[..], &flipped, &layers[0][..middle], b""] {
        fs::write(&blob, bad).unwrap();
        let (source, target) =
            (place("oci", &path.join("in"), "v1"), place("oci", &path.join("out"), "v1"));
        let (from, to) = (client().open(&source).unwrap(), client().create(&target).unwrap());
        let error = convert(&*from, &*to, &Options::default(), &Progress::default()).unwrap_err();
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
        assert!(client().open(&target).is_err(), "an image was written");
    }
}
