//! Blobs that are all here: the kernel reads them itself, and needs nobody.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use support::same::{Leave, differences};
use support::trees::packed;
use support::{Node, can_mount, done, drivers, nydusd, with_layout};

/// The file of the cache's only blob.
fn data_file(node: &Node) -> PathBuf {
    let blobs = fs::read_dir(node.path("cache/blobs")).unwrap();
    let mut blobs = blobs.map(|entry| entry.unwrap().path());
    blobs.find(|path| path.extension().is_some_and(|end| end == "data")).unwrap()
}

#[test]
fn a_whole_blob_is_read_without_us_and_never_punched() {
    if !can_mount() || !drivers().contains(&"erofs") {
        return;
    }
    let (mut node, tree, layout) = with_layout("erofs");
    let again = node.places(1).remove(0);
    node.mount(&layout, &[]);
    assert_eq!(fs::read_dir(node.path("cache/blobs")).unwrap().count(), 0, "nothing was read");

    // Something is missing: the kernel asks us, and gets nothing once we are gone.
    node.mount_too(&layout, &again);
    assert_eq!(differences(&tree, &node.at(), Leave::default()), Vec::<String>::new());
    done(nydusd(&["umount"]).arg(&again));

    node.mount_too(&layout, &again);
    node.forget_pages();
    let open = File::open(again.join("a/big")).unwrap();
    node.kill();
    assert!(fs::read(node.at().join("a/big")).is_err(), "that mount still asks us");
    assert_eq!(differences(&tree, &again, Leave::default()), Vec::<String>::new());

    // Who comes next has room for nothing, and mounts it anew; who has the file open reads on.
    let small = node.path("small");
    fs::create_dir(&small).unwrap();
    fs::write(small.join("file"), vec![1; 100_000]).unwrap();
    let other = node.path("other");
    packed(&small, &other);
    let data = data_file(&node);
    node.mount(&other, &["--cache-size", "1MiB"]);
    assert_eq!(fs::read(node.at().join("file")).unwrap(), vec![1; 100_000]);
    support::wait(|| !data.exists(), "the file's end");
    node.forget_pages();
    let (mut found, expected) = (vec![0; 5_000_123], fs::read(tree.join("a/big")).unwrap());
    open.read_exact_at(&mut found, 0).unwrap();
    assert!(found == expected, "other bytes");
    drop(open);
    done(nydusd(&["umount"]).arg(&again));
    node.umount();
}

#[test]
fn a_mount_goes_on_keeping_when_a_damaged_file_was_given_up() {
    if !can_mount() || !drivers().contains(&"erofs") {
        return;
    }
    let (mut node, tree, layout) = with_layout("erofs");
    let again = node.places(1).remove(0);
    let right = |node: &Node| {
        node.forget_pages();
        assert_eq!(differences(&tree, &node.at(), Leave::default()), Vec::<String>::new());
        node.ls_json()["held"].as_u64().unwrap()
    };
    node.mount(&layout, &[]);
    let whole = right(&node);
    // From here on the file may only go as a whole.
    node.mount_too(&layout, &again);
    done(nydusd(&["umount"]).arg(&again));
    node.umount();
    let data = data_file(&node);
    assert!(data.with_extension("device").exists(), "it has served as a device");
    let file = File::options().write(true).open(&data).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"damaged", length / 2).unwrap();

    node.mount(&layout, &[]);
    right(&node);
    assert_eq!(right(&node), whole, "what was fetched is not kept");
    assert!(data.exists());
    node.umount();
}

#[test]
fn a_large_file_that_is_whole_is_read_without_us() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("fuse");
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    fs::create_dir(&tree).unwrap();
    let bytes = testbed::text(3, 20 << 20);
    fs::write(tree.join("large"), &bytes).unwrap();
    fs::write(tree.join("small"), testbed::text(4, 1 << 20)).unwrap();
    packed(&tree, &layout);
    node.mount(&layout, &[]);
    let large = node.at().join("large");
    // Who has it open meanwhile reads on by way of us.
    let first = File::open(&large).unwrap();
    assert!(fs::read(&large).unwrap() == bytes, "other bytes");
    // It is whole now: who opens it has it copied, into an unnamed file.
    drop(File::open(&large).unwrap());
    drop(first);
    let is_copy = |fd: &std::path::Path| {
        let named = fs::read_link(fd).is_ok_and(|to| to.starts_with(node.path("cache")));
        named && fs::read(fd).is_ok_and(|copied| copied == bytes)
    };
    let copied = || {
        let mut descriptors = fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap();
        descriptors.any(|fd| is_copy(&fd.unwrap().path()))
    };
    support::wait(copied, "the copy");
    // The last byte is there; that it is the last is noted at once.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let open = File::open(&large).unwrap();
    let small = File::open(node.at().join("small")).unwrap();
    assert_eq!(differences(&tree, &node.at(), Leave::default()), Vec::<String>::new());
    node.forget_pages();
    node.kill();
    let mut found = vec![0; bytes.len()];
    open.read_exact_at(&mut found, 0).unwrap();
    assert!(found == bytes, "other bytes");
    assert!(small.read_at(&mut found, 0).is_err(), "a small one is read by way of us");
}
