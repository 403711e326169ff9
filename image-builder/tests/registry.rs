//! A chunked image in a real registry: pushed, checked whole, and read in parts.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod trees;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use image_builder::layers;
use layer::Options;
use rafs::{ChunkSize, Digester};
use testbed::{Bed, samples};

fn builder(args: &[&str], at: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    let output = command.args(args).current_dir(at).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    output
}

fn umoci(args: &[&str], at: &Path) {
    assert!(Command::new("umoci").args(args).current_dir(at).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_a_registry_is_checked_whole_and_read_in_parts() {
    let Some(samples) = samples() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let tar = File::create(at.join("tree.tar")).unwrap();
    let source = samples.join("tree.tar.zst");
    let done = Command::new("zstd").arg("-dc").arg(&source).stdout(tar).status().unwrap();
    assert!(done.success());
    umoci(&["init", "--layout", "oci"], at);
    umoci(&["new", "--image", "oci:v1"], at);
    umoci(&["raw", "add-layer", "--image", "oci:v1", "tree.tar"], at);

    let bed = Bed::new().unwrap();
    let registry = bed.registry().start().await.unwrap();
    let image = format!("{}/demo/chunked:v1", registry.host());
    builder(&["convert", "--chunk-size", "64k", "oci:oci:v1", &image], at);
    builder(&["check", &image, "--against", "oci:oci:v1"], at);

    // One file takes its chunks, not the image.
    let before = registry.blob_bytes();
    let bytes = builder(&["cat", &image, "/exact-chunk"], at).stdout;
    let taken = registry.blob_bytes() - before;
    assert_eq!(bytes.len(), 1 << 20);
    let blob = fs::metadata(at.join("tree.tar")).unwrap().len();
    assert!(taken < blob / 4, "{taken} of {blob} bytes");

    // What is proven of it is proven of its bytes.
    let read = layers::read(
        File::open(&source).unwrap(),
        &Options::default(),
        ChunkSize::new(64 << 10).unwrap(),
        Digester::Sha256,
    );
    let tree = layers::put_on(tree::Tree::default(), read.unwrap(), 1).unwrap();
    let id = tree.lookup(&tree::Path::parse(b"exact-chunk").unwrap()).unwrap();
    let first = tree[id].content().unwrap().chunks[0];
    assert_eq!(Digester::Sha256.digest(&bytes[..64 << 10]), first);
    builder(&["prove", &image, "/exact-chunk", "-o", "proof"], at);

    // Back to a tar, and the same from the registry as from a copy of it in a folder.
    builder(&["unpack", &image, "-o", "a.tar"], at);
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .args([format!("docker://{image}"), format!("oci:{}/copy:v1", at.display())])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    builder(&["check", "oci:copy:v1"], at);
    builder(&["unpack", "oci:copy:v1", "-o", "b.tar"], at);
    assert!(fs::read(at.join("a.tar")).unwrap() == fs::read(at.join("b.tar")).unwrap());
    let diff = builder(&["diff", &image, "oci:copy:v1", "--json"], at);
    let diff: serde_json::Value = serde_json::from_slice(&diff.stdout).unwrap();
    assert_eq!(diff["root_a"], diff["root_b"]);
    assert_eq!(diff["fetch"]["stored"], 0);
}

/// An image of one layer with these files.
fn image_of(at: &Path, name: &str, files: &[(&str, &[u8])]) -> String {
    let folder = at.join(format!("{name}-files"));
    fs::create_dir(&folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    umoci(&["init", "--layout", name], at);
    umoci(&["new", "--image", &format!("{name}:v1")], at);
    let inserted = ["insert", "--image", &format!("{name}:v1"), &format!("{name}-files"), "/"];
    umoci(&inserted, at);
    format!("oci:{name}:v1")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_repository_has_is_mounted_and_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let noise = |seed: u8| -> Vec<u8> {
        let digests =
            (0..60_000_u32).map(|n| content::Digest::of(&[&[seed], &n.to_le_bytes()[..]].concat()));
        digests.flat_map(|digest| *digest.as_bytes()).collect()
    };
    let (big, small) = (noise(1), noise(2));
    let v1 = image_of(at, "v1", &[("big", &big)]);
    let v2 = image_of(at, "v2", &[("big", &big), ("small", &small[..100_000])]);
    let bed = Bed::new().unwrap();
    let registry = bed.registry().start().await.unwrap();
    let image = |name: &str| format!("{}/demo/{name}:v1", registry.host());
    let (a, b, c) = (image("a"), image("b"), image("c"));
    builder(&["convert", &v1, &a, "--build-cache-tag", "cache"], at);
    let json =
        |output: Output| -> serde_json::Value { serde_json::from_slice(&output.stdout).unwrap() };
    json(builder(&["convert", &v2, &b, "--chunk-dict", &a, "--json"], at));
    let raw = |name: &str| {
        let asked = ["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")];
        json(Command::new("skopeo").args(asked).output().unwrap())
    };
    let manifest = raw(&b);
    let sizes: Vec<_> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["size"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes.len(), 3, "the dictionary's blob, its own, and the bootstrap");
    assert!(sizes.iter().filter(|size| **size < 150_000).count() == 2, "{sizes:?}");
    builder(&["check", &b, "--against", &v2], at);

    // This registry does not list referrers itself.
    let (d, ordinary) = (image("d"), format!("{}/demo/d", registry.host()));
    builder(&["convert", &v1, &d, "--referrer", "--build-cache-tag", "cache"], at);
    builder(&["convert", &v1, &d, "--referrer", "--build-cache-tag", "cache"], at);
    let subject = raw(&d)["subject"]["digest"].as_str().unwrap().to_owned();
    let referrers = raw(&format!("{ordinary}:{}", subject.replace(':', "-")));
    let listed = referrers["manifests"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(raw(&format!("{ordinary}@{}", listed[0]["digest"].as_str().unwrap())), raw(&d));

    // The first image again, elsewhere: nothing is converted, and all is there.
    let cache = format!("{}/demo/a:cache", registry.host());
    let again = json(builder(&["convert", &v1, &c, "--build-cache", &cache, "--json"], at));
    assert_eq!(again["cached_layers"], 1);
    assert_eq!(again["warnings"].as_array().unwrap().len(), 0);
    builder(&["check", &c, "--against", &v1], at);
    let requests = registry.requests();
    let mounts =
        requests.iter().filter(|asked| asked.path.contains("mount=") && asked.status == 201);
    assert_eq!(mounts.count(), 2, "the dictionary's blob, and the cache's");
}
