//! An image's metadata: believed for its digests and its merkle root, kept, and never damaged in use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::Ordering;

use content::Digest;
use rafs::Bootstrap;
use serde_json::Value;
use support::reads::same_or_error;
use support::server::registry;
use support::{Node, can_mount, drivers, with_layout};
use testbed::samples;

/// The annotation with the merkle root.
const ROOT: &str = "io.meganeura.merkle-root";

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The digest of the only manifest of a layout.
fn manifest(layout: &Path) -> Digest {
    let index = fs::read(layout.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap()
}

fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.to_hex())
}

fn read_json(layout: &Path, digest: &Digest) -> Value {
    serde_json::from_slice(&fs::read(blob(layout, digest)).unwrap()).unwrap()
}

/// Another manifest in the place of a layout's only one.
fn edit(layout: &Path, change: impl FnOnce(&mut Value)) {
    let old = manifest(layout);
    let mut document = read_json(layout, &old);
    change(&mut document);
    let bytes = serde_json::to_vec(&document).unwrap();
    let new = Digest::of(&bytes);
    fs::write(blob(layout, &new), &bytes).unwrap();
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]["digest"] = Value::from(new.to_string());
    index["manifests"][0]["size"] = Value::from(bytes.len());
    fs::write(path, serde_json::to_vec(&index).unwrap()).unwrap();
}

/// The bootstrap layer's digest.
fn bootstrap_layer(layout: &Path) -> Digest {
    let manifest = read_json(layout, &manifest(layout));
    let layers = manifest["layers"].as_array().unwrap();
    layers.last().unwrap()["digest"].as_str().unwrap().parse().unwrap()
}

/// The only bootstrap that a node keeps.
fn kept(node: &Node) -> PathBuf {
    let there =
        fs::read_dir(node.path("cache/metadata")).unwrap().map(|entry| entry.unwrap().path());
    let mut there = there.filter(|path| path.to_string_lossy().ends_with(".nydusd-bootstrap"));
    let kept = there.next().unwrap();
    assert_eq!(there.next(), None);
    kept
}

#[test]
fn the_tree_must_have_the_root_that_the_manifest_says() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        let right = read_json(&layout, &manifest(&layout))["annotations"][ROOT].clone();
        let wrong = Digest::of(b"another tree").to_string();
        // Before the bootstrap is kept, and when it was kept with the right one.
        for kept_before in [false, true] {
            edit(&layout, |manifest| manifest["annotations"][ROOT] = Value::from(&*wrong));
            let said = said(&node.mount_and_return(&layout, &[]));
            assert!(said.contains(&wrong) && said.contains(right.as_str().unwrap()), "{said}");
            assert!(!node.at().join("one").exists());
            edit(&layout, |manifest| manifest["annotations"][ROOT] = right.clone());
            node.mount(&layout, &[]);
            assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver} {kept_before}");
            node.umount();
        }
        edit(&layout, |manifest| manifest["annotations"][ROOT] = Value::from("sha256:short"));
        assert!(said(&node.mount_and_return(&layout, &[])).contains("sha256:short"));
        // Stock builders say none: what they say of it, the digest of the layer, is checked.
        edit(&layout, |manifest| {
            manifest["annotations"].as_object_mut().unwrap().remove(ROOT).unwrap();
        });
        fs::remove_dir_all(node.path("cache")).unwrap();
        node.mount(&layout, &[]);
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
        // Kept without a root, it is computed when one is asked for.
        edit(&layout, |manifest| manifest["annotations"] = serde_json::json!({ ROOT: wrong }));
        assert!(said(&node.mount_and_return(&layout, &[])).contains(&wrong));
    }
}

#[test]
fn a_known_image_costs_its_manifest_and_a_known_digest_costs_nothing() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        let (address, registry) = registry(&layout);
        let by_tag = format!("{address}/team/demo:v1");
        let by_digest = format!("{address}/team/demo@{}", manifest(&layout));
        node.mount(Path::new(&by_tag), &[]);
        assert!(fs::read(node.at().join("one")).is_ok());
        node.umount();
        let asked = registry.asked().len();
        node.mount(Path::new(&by_tag), &[]);
        assert_eq!(fs::read_dir(node.at().join("many")).unwrap().count(), 700);
        node.umount();
        // (Whether the repository has a blob of which something is kept is another question.)
        let mut again = registry.asked().split_off(asked);
        again.retain(|line| !line.starts_with("HEAD "));
        assert!(again.iter().any(|line| line.contains("/manifests/v1")), "{driver}: {again:?}");
        assert!(!again.iter().any(|line| line.contains("/blobs/")), "{driver}: {again:?}");
        // By digest: not even the manifest, so that the registry may be away.
        registry.down.store(true, Ordering::SeqCst);
        let asked = registry.gets();
        node.mount(Path::new(&by_digest), &[]);
        let same = fs::read(node.at().join("one")).unwrap();
        assert_eq!(same, fs::read(tree.join("one")).unwrap());
        assert_eq!(registry.gets(), asked, "{driver}");
        node.umount();
        // What is remembered of it is hashed: damaged, it is nobody's word.
        let document = node.path("cache/metadata/documents").join(manifest(&layout).to_hex());
        let mut bytes = fs::read(&document).unwrap();
        bytes[20] ^= 1;
        fs::write(&document, bytes).unwrap();
        said(&node.mount_and_return(Path::new(&by_digest), &[]));
        registry.down.store(false, Ordering::SeqCst);
        node.mount(Path::new(&by_digest), &[]);
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
    }
}

/// Places in every part of a bootstrap: superblocks, device slots, blob table, the rest by even steps.
fn places(bootstrap: &[u8], steps: usize) -> Vec<usize> {
    Bootstrap::parse(bootstrap).unwrap().check().unwrap();
    let table = u64::from_le_bytes(bootstrap[1152 + 8..1152 + 16].try_into().unwrap());
    let chunks = u64::from_le_bytes(bootstrap[1152 + 24..1152 + 32].try_into().unwrap());
    let (table, chunks) = (usize::try_from(table).unwrap(), usize::try_from(chunks).unwrap());
    let heads = [1024, 1030, 1038, 1064, 1104, 1110, 1152, 1160, 1172, 1176, 1184, 1408, 1472];
    let tables = [0, 64, 72, 76, 88, 96].map(|at| table + at);
    let rows = [0, 32, 36, 40, 48, 56, 60, 64, 72].map(|at| chunks + 80 + at);
    let even = (1..steps).map(|step| bootstrap.len() / steps * step);
    heads.into_iter().chain(tables).chain(rows).chain(even).collect()
}

fn flip(path: &Path, at: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

#[test]
fn kept_metadata_that_the_disk_damaged_is_fetched_again() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        node.mount(&layout, &[]);
        node.umount();
        let good = fs::read(kept(&node)).unwrap();
        for at in places(&good, 6).into_iter().step_by(3) {
            flip(&kept(&node), at);
            node.mount(&layout, &[]);
            assert!(fs::read(kept(&node)).unwrap() == good, "{driver}: byte {at}");
            assert_eq!(fs::read_dir(node.at().join("many")).unwrap().count(), 700);
            node.umount();
        }
        // Cut short, without its record, with another's, and with one that says nothing.
        let there = kept(&node);
        let record = there.with_extension("json");
        let broken: [&dyn Fn(); 4] = [
            &|| File::options().write(true).open(&there).unwrap().set_len(5000).unwrap(),
            &|| fs::remove_file(&record).unwrap(),
            &|| fs::write(&record, "{}").unwrap(),
            &|| {
                let text = fs::read_to_string(&record).unwrap();
                fs::write(&record, text.replacen("\"boot\":\"", "\"boot\":\"x", 1)).unwrap();
            },
        ];
        for damage in broken {
            damage();
            node.mount(&layout, &[]);
            assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
            node.umount();
        }
        // With nobody to fetch it from: told, and not mounted.
        flip(&kept(&node), good.len() / 2);
        fs::remove_file(blob(&layout, &bootstrap_layer(&layout))).unwrap();
        said(&node.mount_and_return(&layout, &[]));
        assert!(!node.at().join("one").exists(), "{driver}");
    }
}

#[test]
fn a_bootstrap_layer_that_is_another_one_is_not_mounted() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        let layer = blob(&layout, &bootstrap_layer(&layout));
        let good = fs::read(&layer).unwrap();
        for at in [3, good.len() / 7, good.len() / 3, good.len() / 2, good.len() - 5] {
            flip(&layer, at);
            let said = said(&node.mount_and_return(&layout, &[]));
            assert!(said.contains("layout"), "{driver}: byte {at}: {said}");
            assert!(!node.at().join("one").exists(), "{driver}: byte {at}");
            fs::write(&layer, &good).unwrap();
        }
        node.mount(&layout, &[]);
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
    }
}

/// A local bootstrap is its own root of trust: a damaged one may show another tree. But it harms
/// neither the process nor the kernel, and what it says of chunks does not make bytes of them.
#[test]
fn a_damaged_local_bootstrap_is_refused_or_its_reads_end() {
    let Some(samples) = samples().filter(|_| can_mount()) else { return };
    for driver in drivers() {
        let mut node = Node::new(driver);
        let sample = samples.join("zstd-blake3");
        let (copy, blobs) = (node.path("bootstrap"), sample.join("blobs"));
        let good = fs::read(sample.join("bootstrap")).unwrap();
        let (mut mounted, mut refused) = (0, 0);
        for at in places(&good, 24) {
            fs::write(&copy, &good).unwrap();
            flip(&copy, at);
            let image = PathBuf::from(format!("bootstrap:{}", copy.display()));
            let output = node.mount_and_return(&image, &["--blob-dir", blobs.to_str().unwrap()]);
            if !output.status.success() {
                assert!(said(&output).contains("nydusd: "), "{driver}: byte {at}");
                refused += 1;
                continue;
            }
            mounted += 1;
            // Whatever it is: it ends, and the process does not.
            let read = std::process::Command::new("find")
                .arg(node.at())
                .args(["-type", "f", "-exec"])
                .args(["cat", "{}", "+"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&read.stderr).into_owned();
            for gone in ["endpoint is not connected", "connection abort"] {
                assert!(!said.contains(gone), "{driver}: byte {at}: {said}");
            }
            let told = node.ls();
            assert!(told.contains("bytes fetched"), "{driver}: byte {at}: {told}");
            node.umount();
        }
        eprintln!("{driver}: {refused} refused, {mounted} mounted");
        assert!(refused > 15, "{driver}: {refused} of {}", refused + mounted);
        fs::write(&copy, &good).unwrap();
        node.mount(&sample, &[]);
        assert!(node.at().read_dir().unwrap().count() > 0);
        node.umount();
    }
}
