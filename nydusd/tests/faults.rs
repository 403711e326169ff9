//! What goes wrong on the way: never wrong bytes, never a hang.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use nydusd::metadata::{Key, Metadata};
use rustix::io::Errno;
use support::reads::same_or_error;
use support::trees::{hide_data, only_blob, packed};
use support::{Node, can_mount, drivers, with_layout, with_registry};
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
    let (mut node, tree, layout) = with_layout(driver);
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
    let (mut node, tree, layout) = with_layout(driver);
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
    let (mut node, tree, layout) = with_layout(driver);
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

#[test]
fn with_a_full_disk_and_no_registry_mounts_come_back_after_a_start_of_the_machine() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let at = node.at();
        let disk = Disk::new(&node.path("disk"), &node.path("cache"), 32);
        node.serve(&[]);
        node.mount_too(Path::new(&name), &at);
        assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        let ended: [&dyn Fn(&mut Node); 2] = [&|node| node.end(), &|node| node.kill()];
        for end in ended {
            end(&mut node);
            // As if they were of another run of the machine: nothing of it is taken on trust.
            for folder in ["cache/mounts", "cache/metadata"] {
                in_another_run(&node.path(folder));
            }
            registry.down.store(true, Ordering::SeqCst);
            fill(&node.path("cache"));
            node.serve(&[]);
            let told = node.ls();
            assert!(told.contains("bytes fetched"), "{driver}: {told}");
            assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        }
        node.umount_at(&at);
        node.end();
        assert_eq!(fs::read_dir(node.path("cache/mounts")).unwrap().count(), 0, "{driver}");
        drop(disk);
    }
}

#[test]
fn a_long_bootstrap_has_room_made_for_it_on_a_full_disk() {
    if !can_mount() {
        return;
    }
    let node = Node::new("fuse");
    let folder = node.path("metadata");
    let _disk = Disk::new(&node.path("disk"), &folder, 96);
    let metadata = Metadata::open(&folder).unwrap();
    let key = Key::of_file(&folder, &folder.metadata().unwrap(), SystemTime::now());
    let files = |name: &str, mib: usize| {
        let files = [".nydusd-bootstrap", ".json"].map(|end| folder.join(format!("{name}{end}")));
        files.iter().for_each(|path| fs::write(path, vec![1; mib << 20]).unwrap());
        files
    };
    let (unused, wanted) = (files("unused", 20), files(&key.to_string(), 1));
    // Longer than what is held in memory, and than what is free.
    let bytes: Vec<u8> = (0..=250).cycle().take(70 << 20).collect();
    let got = metadata.get(&key, None, || {
        assert!(metadata.hold(&mut bytes.as_slice()).unwrap() == bytes);
        assert!(unused.iter().all(|path| !path.exists()));
        assert!(wanted.iter().all(|path| path.exists()), "somebody is about to use it");
        anyhow::bail!("enough")
    });
    assert_eq!(got.unwrap_err().to_string(), "enough");
    // And where nothing can go, it is said.
    fs::write(folder.join("another's"), vec![1; 40 << 20]).unwrap();
    let error = metadata.hold(&mut bytes.as_slice()).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
}

/// Changes what records say of the machine's run, byte by byte where they lie.
fn in_another_run(folder: &Path) {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let text = fs::read_to_string(&path).unwrap();
        let (_, boot) = text.split_once("\"boot\":\"").unwrap();
        let at = text.len() - boot.len();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(b"another-", at as u64)
            .unwrap();
    }
}

/// Leaves no room for a single byte.
fn fill(folder: &Path) {
    let mut file = File::options().create(true).append(true).open(folder.join("full")).unwrap();
    for length in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![1; length]).is_ok() {}
    }
    let refused = fs::write(folder.join("more"), "more").unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::NOSPC));
    fs::remove_file(folder.join("more")).unwrap();
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
