//! Mounted trees are the trees that the images were made from, call by call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;

use support::layers::layered;
use support::same::{Leave, differences, refusals};
use support::trees::{mountable, original, packed};
use support::{Node, can_mount, done, drivers, with_layout};
use testbed::{SAMPLES, samples};

/// No more than anybody reads.
fn few(mut told: Vec<String>) -> Vec<String> {
    told.truncate(10);
    told
}

#[test]
fn samples_are_what_their_tar_is() {
    let Some(samples) = samples().filter(|_| can_mount()) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let tree = scratch.path().join("tree");
    original(&samples, &tree);
    let all = drivers().into_iter().flat_map(|driver| SAMPLES.map(|name| (driver, name)));
    for (driver, name) in all {
        let mut node = Node::new(driver);
        node.mount(&mountable(&samples.join(name)), &[]);
        let from_tar = name.starts_with("tar-");
        let leave = Leave { root_time: !from_tar, part_of_second: from_tar };
        let mut told = differences(&tree, &node.at(), leave);
        // Sockets come in no tar.
        told.retain(|line| !line.contains("Socket") && !line.contains("type: socket"));
        assert_eq!(few(told), Vec::<String>::new(), "{driver} {name}");
        node.umount();
    }
}

/// The same directory on a disk, read-only: what it should look like.
fn read_only(node: &Node, tree: &Path) -> std::path::PathBuf {
    let at = node.path("read-only");
    fs::create_dir(&at).unwrap();
    done(Command::new("mount").args(["--bind", "-o", "ro"]).arg(tree).arg(&at));
    at
}

#[test]
fn a_directory_comes_back_call_by_call() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        call_by_call(driver);
    }
}

fn call_by_call(driver: &'static str) {
    let (mut node, tree, layout) = with_layout(driver);
    node.mount(&layout, &[]);
    let at = node.at();
    // Cold, from the pages, and from the chunk cache.
    for round in ["cold", "kept", "read again"] {
        assert_eq!(few(differences(&tree, &at, Leave::default())), Vec::<String>::new(), "{round}");
        if round == "kept" {
            node.forget_pages();
        }
    }
    let disk = read_only(&node, &tree);
    let expected = refusals(&disk, "one", "a");
    let found = refusals(&at, "one", "a");
    done(Command::new("umount").arg(&disk));
    assert_eq!(found, expected);

    let ino = |name: &str| fs::metadata(at.join(name)).unwrap().ino();
    assert_eq!(ino("a/big"), ino("a/b/hard"), "hard links are one inode");
    let status = rustix::fs::statvfs(&at).unwrap();
    assert!(status.f_blocks > 1000 && status.f_files > 700 && status.f_namemax == 255);
    done(&mut Command::new(at.join("program")));
    mapped(&at.join("a/big"), &tree.join("a/big"));
    if driver == "fuse" {
        assert_eq!(fs::metadata(&at).unwrap().ino(), 1);
        direct(&at.join("a/big"), &tree.join("a/big"));
    }
    node.umount();
}

/// Through mmap(2).
fn mapped(found: &Path, expected: &Path) {
    let bytes = fs::read(expected).unwrap();
    let file = fs::File::open(found).unwrap();
    let mapping = sys::Mapping::of(&file, 0..bytes.len() as u64).unwrap();
    assert!(mapping.as_ref() == bytes);
}

/// Past the page cache.
fn direct(found: &Path, expected: &Path) {
    let flag = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flag).open(found).unwrap();
    let mut bytes = Vec::new();
    std::io::copy(&mut file, &mut bytes).unwrap();
    assert!(bytes == fs::read(expected).unwrap());
}

/// As many as runtimes stack, and devices whose names together are longer than a page.
const LAYERS: u8 = 127;

#[test]
fn an_image_of_many_layers_has_a_device_for_each() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let (tree, layout) = layered(&node, LAYERS);
        // Times in layers are of whole seconds.
        let leave = Leave { part_of_second: true, ..Leave::default() };
        node.serve(&[]);
        // Served, then over the cache's own files.
        for at in node.places(2) {
            node.mount_too(&layout, &at);
            let found = differences(&tree, &at, leave);
            assert_eq!(few(found), Vec::<String>::new(), "{driver} {}", at.display());
            node.umount_at(&at);
        }
        node.end();
    }
}

#[test]
fn a_mount_returns_and_its_process_ends_with_it() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        returns(driver);
    }
}

fn returns(driver: &'static str) {
    let mut node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("x"), "here").unwrap();
    packed(&tree, &layout);
    let output = node.mount_and_return(&layout, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(node.at().join("x")).unwrap(), b"here");
    // In use, and mounted on already: told, not done.
    let again = node.mount_and_return(&layout, &[]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("mounted on already"));
    let used = fs::File::open(node.at().join("x")).unwrap();
    let busy = support::nydusd(&["umount", node.at().to_str().unwrap()]).output().unwrap();
    assert!(!busy.status.success());
    drop(used);
    node.umount();
    assert!(!node.at().join("x").exists());
    // The process that stayed has let go of the cache.
    support::wait(|| lazy::ChunkCache::open(&node.path("cache"), u64::MAX).is_ok(), "its end");
}

#[test]
fn what_cannot_be_mounted_is_told() {
    if !can_mount() {
        return;
    }
    let node = Node::new("auto");
    let said = |image: &Path| {
        let output = node.mount_and_return(image, &[]);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(Path::new("oci:/no/such/layout")).contains("is no OCI layout"));
    fs::write(node.path("junk"), vec![7; 100_000]).unwrap();
    assert!(said(&node.path("junk")).contains("nydusd: "));
    fs::remove_dir(node.at()).unwrap();
    assert!(said(Path::new("oci:/no/such/layout")).contains("cannot be mounted on"));
}
