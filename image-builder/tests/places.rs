//! Every place that an image can be in, read and written: layouts, archives, registries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::process::Command;

use image_builder::convert::{Options, Progress, Publish, Report, convert};
use image_builder::oci::{Top, media_type};
use image_builder::place::Place;
use image_builder::store::Store;

use support::files::every_kind;
use support::{client, expected, gzip, layout, listed, open, scratch};

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

fn at(prefix: &str, path: &Path, tag: &str) -> Place {
    place(&format!("{prefix}:{}:{tag}", path.display()))
}

fn run(source: &Place, target: &Place, options: &Options) -> Report {
    let (from, to) = (client().open(source).unwrap(), client().create(target).unwrap());
    convert(&*from, &*to, options, &Progress::default()).unwrap()
}

fn check(target: &Place, wanted: &[String]) {
    let store = client().open(target).unwrap();
    let top = store.top().unwrap();
    let opened = open(&*store, top.manifest().expect("a manifest"));
    assert_eq!(listed(&opened.files), wanted, "{target}");
}

fn skopeo(arguments: &[&str]) {
    let run = Command::new("skopeo").args(["--insecure-policy", "copy"]).args(arguments).output();
    let output = run.expect("skopeo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn layers() -> Vec<Vec<u8>> {
    every_kind().iter().map(|layer| gzip(layer)).collect()
}

#[test]
fn archives_are_read_as_skopeo_writes_them() {
    let (_folder, path) = scratch();
    let layers = layers();
    layout(&path.join("in"), &layers);
    let wanted = listed(&expected(&layers));
    let source = format!("oci:{}:v1", path.join("in").display());
    let (oci, docker) = (path.join("oci.tar"), path.join("docker.tar"));
    skopeo(&[&source, &format!("oci-archive:{}:v1", oci.display())]);
    skopeo(&[&source, &format!("docker-archive:{}:some/name:v1", docker.display())]);
    let packed = path.join("docker.tar.gz");
    std::fs::write(&packed, gzip(&std::fs::read(&docker).unwrap())).unwrap();
    let archives = [
        at("oci-archive", &oci, "v1"),
        at("docker-archive", &docker, "some/name:v1"),
        place(docker.to_str().unwrap()),
        place(packed.to_str().unwrap()),
    ];
    for (number, source) in archives.iter().enumerate() {
        let target = at("oci", &path.join(format!("out{number}")), "v1");
        run(source, &target, &Options::default());
        check(&target, &wanted);
    }
}

#[test]
fn archives_are_written_the_same_each_time_and_skopeo_reads_them() {
    let (_folder, path) = scratch();
    let layers = layers();
    layout(&path.join("in"), &layers);
    let wanted = listed(&expected(&layers));
    let source = at("oci", &path.join("in"), "v1");
    for prefix in ["oci-archive", "docker-archive"] {
        let bytes: Vec<_> = ["a", "b"]
            .iter()
            .map(|name| {
                let file = path.join(format!("{prefix}-{name}.tar"));
                let target = at(prefix, &file, "v1");
                run(&source, &target, &Options::default());
                check(&target, &wanted);
                std::fs::read(&file).unwrap()
            })
            .collect();
        assert!(bytes[0] == bytes[1], "{prefix}");
    }
    let archive = format!("oci-archive:{}:v1", path.join("oci-archive-a.tar").display());
    skopeo(&[&archive, &format!("oci:{}:v1", path.join("copied").display())]);
    check(&at("oci", &path.join("copied"), "v1"), &wanted);
}

/// Runs what waits for the network on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn from_registry_to_registry_in_every_manner() {
    let bed = testbed::Bed::new().unwrap();
    let registry = bed.registry().start().await.unwrap();
    let host = registry.host();
    blocking(move || {
        let (_folder, path) = scratch();
        let layers = layers();
        let manifest = layout(&path.join("in"), &layers);
        let wanted = listed(&expected(&layers));
        let source = format!("{host}/demo/app:v1");
        let pushed = format!("oci:{}:v1", path.join("in").display());
        skopeo(&["--dest-tls-verify=false", &pushed, &format!("docker://{source}")]);
        let source = place(&source);

        let alone = place(&format!("{host}/demo/chunked:v1"));
        let first = run(&source, &alone, &Options::default());
        check(&alone, &wanted);
        let local = at("oci", &path.join("out"), "v1");
        let second = run(&source, &local, &Options::default());
        assert_eq!(first, second, "the target does not matter");

        let merged = place(&format!("{host}/other/both:v1"));
        let publish = Publish::Index;
        run(&source, &merged, &Options { publish, ..Options::default() });
        let store = client().open(&merged).unwrap();
        let Top::Index(index) = store.top().unwrap().top else { panic!("an index") };
        assert_eq!(index.manifests[0].digest, manifest.digest, "the ordinary one comes first");
        let chunked = &index.manifests[1];
        assert_eq!(chunked.artifact_type.as_deref(), Some(media_type::NYDUS_MANIFEST));
        assert_eq!(chunked.platform, index.manifests[0].platform);
        read_all(&*store, &manifest.digest);
        let document = store.document(&chunked.digest).unwrap();
        let opened = open(&*store, document.manifest().unwrap());
        assert_eq!(listed(&opened.files), wanted);

        let referring = place(&format!("{host}/other/refers:v1"));
        let publish = Publish::Referrer;
        run(&source, &referring, &Options { publish, ..Options::default() });
        check(&referring, &wanted);
        let store = client().open(&referring).unwrap();
        let top = store.top().unwrap();
        let subject = top.manifest().and_then(|manifest| manifest.subject.clone()).unwrap();
        assert_eq!(subject.digest, manifest.digest);
        read_all(&*store, &manifest.digest);
    })
    .await;
}

/// The ordinary image is there to its last byte.
fn read_all(store: &dyn Store, digest: &content::Digest) {
    let document = store.document(digest).unwrap();
    let manifest = document.manifest().unwrap();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        store.whole_blob(blob, 1 << 30).unwrap();
    }
}
