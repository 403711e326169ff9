//! Blobs that are all here: the kernel reads them itself, and needs nobody.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use support::same::{Leave, differences};
use support::trees::{directory, packed};
use support::{Node, can_mount, done, drivers, nydusd};

#[test]
fn a_whole_blob_is_read_without_us_and_never_punched() {
    if !can_mount() || !drivers().contains(&"erofs") {
        return;
    }
    let mut node = Node::new("erofs");
    let (tree, layout, again) = (node.path("tree"), node.path("layout"), node.path("again"));
    directory(&tree);
    packed(&tree, &layout);
    fs::create_dir(&again).unwrap();
    node.mount(&layout, &[]);

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
    let mut blobs =
        fs::read_dir(node.path("cache/blobs")).unwrap().map(|entry| entry.unwrap().path());
    let data = blobs.find(|path| path.extension().is_some_and(|end| end == "data")).unwrap();
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
