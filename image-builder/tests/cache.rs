//! The build cache: an image is the same to the byte, and its layers are not read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use content::Digest;
use image_builder::convert::{BuildCache, Format, Options, Progress, RECORDS, Report, convert};
use image_builder::place::Place;
use rafs::Compressor;

use support::files::{Tar, every_kind, text};
use support::{client, gzip, layout, scratch};

fn place(path: &Path) -> Place {
    format!("oci:{}:v1", path.display()).parse().unwrap()
}

fn cache_at(path: &Path, records: usize) -> Arc<BuildCache> {
    Arc::new(BuildCache::open(client().create(&place(path)).unwrap(), records).unwrap())
}

/// Images that are converted side by side.
struct Bench {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(layers: &[Vec<u8>]) -> Self {
        let (folder, path) = scratch();
        layout(&path.join("in"), layers);
        Self { path, _folder: folder }
    }

    fn run(&self, name: &str, options: &Options) -> Report {
        let (source, target) = (place(&self.path.join("in")), place(&self.path.join(name)));
        let (from, to) = (client().open(&source).unwrap(), client().create(&target).unwrap());
        convert(&*from, &*to, options, &Progress::default()).unwrap()
    }

    fn cached(&self, name: &str, format: Format, records: usize) -> Report {
        let cache = Some(cache_at(&self.path.join("cache"), records));
        self.run(name, &Options { cache, format, ..Options::default() })
    }

    /// Takes the layers away: who still reads them fails.
    fn without_layers(&self, layers: &[Vec<u8>]) {
        for layer in layers {
            let name = Digest::of(layer).to_hex();
            let _ = fs::remove_file(self.path.join("in/blobs/sha256").join(name));
        }
    }

    fn blobs(&self, of: &str) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.path.join(of).join("blobs/sha256")).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn layers_that_were_converted_are_not_read_again_and_the_image_is_the_same() {
    let layers: Vec<_> = every_kind().iter().map(|layer| gzip(layer)).collect();
    let bench = Bench::new(&layers);
    let plain = bench.run("plain", &Options::default());
    let first = bench.cached("first", Format::default(), RECORDS);
    assert_eq!((first.cached_layers, &first.warnings[..]), (0, &[][..]));
    bench.without_layers(&layers);
    let second = bench.cached("second", Format::default(), RECORDS);
    assert_eq!((second.cached_layers, &second.warnings[..]), (layers.len(), &[][..]));
    assert_eq!(first.target, plain.target);
    assert_eq!(second.target, plain.target);
    let sorted = |of| {
        let mut names: Vec<_> =
            bench.blobs(of).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sorted("second"), sorted("plain"));
}

#[test]
fn another_format_is_another_layer() {
    let layers = vec![gzip(&Tar::new().file("a", &text(1, 300_000)).done())];
    let bench = Bench::new(&layers);
    let other = Format { compressor: Compressor::Lz4, ..Format::default() };
    bench.cached("first", Format::default(), RECORDS);
    assert_eq!(bench.cached("second", other, RECORDS).cached_layers, 0);
    assert_eq!(bench.cached("third", Format::default(), RECORDS).cached_layers, 1, "it stays");
    assert_eq!(bench.cached("fourth", other, RECORDS).cached_layers, 1);
}

#[test]
fn what_was_used_last_is_kept() {
    let layers: Vec<_> = (0..3)
        .map(|seed| gzip(&Tar::new().file(&format!("f{seed}"), &text(seed, 9_000)).done()))
        .collect();
    let bench = Bench::new(&layers);
    assert_eq!(bench.cached("first", Format::default(), 2).cached_layers, 0);
    assert_eq!(bench.cached("second", Format::default(), 2).cached_layers, 2);
}

#[test]
fn a_damaged_cache_is_told_and_does_no_harm() {
    let layers = vec![gzip(&Tar::new().file("a", &text(1, 300_000)).done())];
    let bench = Bench::new(&layers);
    let first = bench.cached("first", Format::default(), RECORDS);
    let whole = bench.blobs("cache").into_iter().map(|path| (fs::read(&path).unwrap(), path));
    let whole: Vec<_> = whole.collect();
    assert_eq!(whole.len(), 4, "record, data blob, config, manifest");
    for (bytes, path) in &whole {
        for damage in [&b""[..], &bytes[..bytes.len() / 2]] {
            fs::write(path, damage).unwrap();
            let again = bench.cached("again", Format::default(), RECORDS);
            assert_eq!(again.target, first.target, "{}", path.display());
            // Nobody reads the config.
            let harmless = bytes == b"{}";
            assert_eq!(again.warnings.is_empty(), harmless, "{:?}", again.warnings);
        }
        fs::remove_file(path).unwrap();
        let again = bench.cached("again", Format::default(), RECORDS);
        assert_eq!(again.target, first.target);
        whole.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    }
}

#[test]
fn an_image_is_no_cache_and_is_not_overwritten() {
    let layers = vec![gzip(&Tar::new().file("a", b"a").done())];
    let bench = Bench::new(&layers);
    bench.run("cache", &Options::default());
    let store = client().create(&place(&bench.path.join("cache"))).unwrap();
    let error = BuildCache::open(store, RECORDS).unwrap_err();
    assert!(error.to_string().contains("is no build cache"), "{error}");
}
