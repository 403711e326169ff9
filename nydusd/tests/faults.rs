//! What goes wrong on the way: never wrong bytes, never a hang.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use support::reads::same_or_error;
use support::trees::{directory, hide_data, only_blob, packed};
use support::{Node, can_mount, drivers};
use testbed::{samples, text};

#[test]
fn a_flipped_bit_in_a_blob_is_an_error_and_never_other_bytes() {
    let Some(samples) = samples().filter(|_| can_mount()) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let tree = scratch.path().join("tree");
    support::trees::original(&samples, &tree);
    let names = ["zstd-blake3", "none-blake3-64k", "lz4-sha256", "zstd-batch-blake3"];
    for (driver, name) in drivers().into_iter().flat_map(|driver| names.map(|name| (driver, name)))
    {
        let sample = samples.join(name);
        let mut node = Node::new(driver);
        let blob = only_blob(&sample);
        let mut bytes = fs::read(&blob).unwrap();
        let (middle, third) = (bytes.len() / 2, bytes.len() / 3);
        bytes[middle] ^= 0x10;
        bytes[third] ^= 1;
        fs::create_dir(node.path("blobs")).unwrap();
        let copy = node.path("blobs").join(blob.file_name().unwrap());
        fs::write(&copy, bytes).unwrap();
        let blobs = node.path("blobs");
        node.mount(&sample, &["--blob-dir", blobs.to_str().unwrap()]);
        let wrong = same_or_error(&tree, &node.at());
        assert!((1..20).contains(&wrong), "{name}: {wrong} files failed");
        // And works again once the blob is right, without a new mount.
        fs::copy(&blob, &copy).unwrap();
        node.forget_pages();
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{name}");
        node.umount();
    }
}

#[test]
fn what_the_disk_damaged_is_fetched_again() {
    if can_mount() {
        drivers().into_iter().for_each(damaged);
    }
}

fn damaged(driver: &'static str) {
    let mut node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    packed(&tree, &layout);
    node.mount(&layout, &[]);
    assert_eq!(same_or_error(&tree, &node.at()), 0);
    node.umount();
    let blobs = node.path("cache/blobs");
    let mut data = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let data = data.find(|path| path.extension().is_some_and(|end| end == "data")).unwrap();
    let file = File::options().write(true).open(&data).unwrap();
    let length = file.metadata().unwrap().len();
    for at in (0..length).step_by(300_000) {
        file.write_all_at(b"damaged", at).unwrap();
    }
    node.mount(&layout, &[]);
    assert_eq!(same_or_error(&tree, &node.at()), 0);
    node.umount();
    // With nobody to fetch from, what is right is read, and nothing else.
    file.write_all_at(b"damaged", length / 2).unwrap();
    let manifest = hide_data(&layout);
    node.mount(&layout, &[]);
    let failed = same_or_error(&tree, &node.at());
    assert!((1..4).contains(&failed), "{failed} files failed");
    node.umount();
    drop(manifest);
}

#[test]
fn after_kill_9_reads_fail_and_a_new_mount_has_what_was_kept() {
    if can_mount() {
        drivers().into_iter().for_each(killed);
    }
}

fn killed(driver: &'static str) {
    let mut node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    packed(&tree, &layout);
    node.mount(&layout, &[]);
    assert_eq!(same_or_error(&tree, &node.at()), 0);
    let open = File::open(node.at().join("a/big")).unwrap();
    node.forget_pages();
    node.kill();
    let mut byte = [0; 1];
    let error = open.read_at(&mut byte, 3_000_000).unwrap_err();
    let told = if driver == "fuse" { Errno::NOTCONN } else { Errno::IO };
    assert_eq!(Errno::from_io_error(&error), Some(told));
    assert!(driver == "erofs" || fs::read_dir(node.at()).is_err());
    assert!(fs::read(node.at().join("page")).is_err());
    drop(open);
    // The image's blob is gone; what was read is not.
    hide_data(&layout);
    node.mount(&layout, &[]);
    assert_eq!(same_or_error(&tree, &node.at()), 0);
    node.umount();
}

#[test]
fn many_read_one_file_at_once() {
    if can_mount() {
        drivers().into_iter().for_each(many);
    }
}

fn many(driver: &'static str) {
    let mut node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    fs::create_dir(&tree).unwrap();
    let bytes = text(3, 9_000_000);
    fs::write(tree.join("file"), &bytes).unwrap();
    packed(&tree, &layout);
    node.mount(&layout, &[]);
    let path = node.at().join("file");
    std::thread::scope(|scope| {
        for number in 0..16_usize {
            let (path, bytes) = (&path, &bytes);
            scope.spawn(move || {
                let file = File::open(path).unwrap();
                let mut at = number * 500_000 % bytes.len();
                for _ in 0..200 {
                    let mut part = vec![0; 50_000.min(bytes.len() - at)];
                    file.read_exact_at(&mut part, at as u64).unwrap();
                    assert!(part == bytes[at..at + part.len()], "{at}");
                    at = (at + 77_777) % bytes.len();
                }
            });
        }
    });
    node.umount();
}

#[test]
fn a_full_disk_ends_keeping_and_not_reading() {
    if can_mount() {
        drivers().into_iter().for_each(full);
    }
}

fn full(driver: &'static str) {
    let mut node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    packed(&tree, &layout);
    let disk = Disk::new(&node.path("disk"), &node.path("cache"), 3);
    node.mount(&layout, &[]);
    for _ in 0..2 {
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.forget_pages();
    }
    // Of some 8 MB at most 3 can be kept: what is not was fetched twice.
    let told = node.ls();
    let fetched = told.split_whitespace().rev().nth(2).and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(fetched.is_some_and(|bytes| bytes > 11_000_000), "{driver}: {told}");
    node.umount();
    drop(disk);
}

/// A small disk: ext4 in a file. (EROFS takes no files of a file system in memory.)
struct Disk(PathBuf);

impl Disk {
    fn new(file: &Path, at: &Path, mib: u64) -> Self {
        fs::create_dir(at).unwrap();
        fs::File::create(file).unwrap().set_len(mib << 20).unwrap();
        support::done(Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(file));
        support::done(Command::new("mount").args(["-o", "loop"]).arg(file).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
