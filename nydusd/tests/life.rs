//! The life of mounts: longer than that of the process that serves them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use support::reads::same_or_error;
use support::trees::{hide_data, many_files, packed};
use support::{Node, can_mount, done, drivers, nydusd, wait, with_layout, with_registry};

fn is_mounted(at: &Path) -> bool {
    nydusd::mounts::at(at).unwrap().is_some_and(|mount| mount.is_ours())
}

#[test]
fn after_kill_9_every_mount_comes_back_but_those_that_were_unmounted() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        let small = many_files(&node, "small", 3, 10);
        let other = many_files(&node, "other", 1, 10);
        let at = node.places(5);
        node.serve(&[]);
        node.mount_too(&layout, &at[0]);
        for place in &at[1..4] {
            node.mount_too(&small, place);
        }
        node.mount_too(&other, &at[4]);
        assert_eq!(same_or_error(&tree, &at[0]), 0, "{driver}");
        // One is unmounted while it is served, and one by mount(8)'s own command after the kill.
        node.umount_at(&at[1]);
        wait(|| node.ls().lines().count() == 4, "the end of the unmounted one");
        node.kill();
        done(Command::new("umount").arg(&at[2]));
        // One image is not to be found.
        fs::rename(&other, node.path("away")).unwrap();
        // What was read is on the disk: nobody needs the data blob.
        hide_data(&layout);
        node.forget_pages();
        node.serve(&[]);
        assert_eq!(same_or_error(&tree, &at[0]), 0, "{driver}");
        assert!(!is_mounted(&at[1]) && !is_mounted(&at[2]), "{driver}: they were unmounted");
        assert_eq!(fs::read(at[3].join("2/file-7")).unwrap(), b"small 7", "{driver}");
        let told = node.ls();
        assert_eq!(told.lines().count(), 3, "{driver}: {told}");
        let failed = told.lines().find(|line| line.contains("at 4")).unwrap();
        assert!(failed.contains("not mounted: ") && failed.contains("other"), "{failed}");
        // It comes when it can, and whoever does not want it says so.
        fs::rename(node.path("away"), &other).unwrap();
        wait(|| fs::read(at[4].join("0/file-1")).is_ok_and(|read| read == b"other 1"), "the last");
        for place in [&at[0], &at[3], &at[4]] {
            node.umount_at(place);
        }
        wait(|| node.ls().is_empty(), "the end of all");
        assert_eq!(fs::read_dir(node.path("cache/mounts")).unwrap().count(), 0, "{driver}");
        node.end();
    }
}

#[test]
fn what_cannot_be_brought_back_can_be_given_up() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("auto");
    let image = many_files(&node, "image", 1, 10);
    let at = node.places(2);
    node.serve(&[]);
    at.iter().for_each(|at| node.mount_too(&image, at));
    node.end();
    fs::remove_dir(&at[0]).unwrap();
    fs::remove_dir_all(&image).unwrap();
    node.serve(&[]);
    assert_eq!(node.ls().matches("not mounted").count(), 2, "{}", node.ls());
    assert!(node.ls().contains("mkdir -p"), "{}", node.ls());
    // With the process there, and without.
    node.umount_at(&at[0]);
    assert_eq!(node.ls().lines().count(), 1);
    node.kill();
    node.umount_at(&at[1]);
    let again = nydusd(&["umount", "--cache-dir"]).arg(node.path("cache")).arg(&at[1]).output();
    assert_eq!(again.unwrap().status.code(), Some(1));
    node.serve(&[]);
    assert_eq!(node.ls(), "");
    node.end();
}

#[test]
fn sigterm_ends_the_process_of_serve_and_not_its_mounts() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let image = many_files(&node, "image", 1, 10);
        let at = node.places(3);
        node.serve(&[]);
        node.mount_too(&image, &at[0]);
        node.mount_too(&image, &at[1]);
        let open = File::open(at[0].join("0/file-3")).unwrap();
        node.terminate();
        wait(|| !is_mounted(&at[0]) && !is_mounted(&at[1]), "the unmounts");
        // Who reads is served to the end.
        assert_eq!(std::io::read_to_string(&open).unwrap(), "image 3", "{driver}");
        drop(open);
        assert!(node.served().wait().unwrap().success(), "{driver}");
        // Somebody mounts on the same cache: what `serve` had waits for `serve`.
        let mut command = nydusd(&["mount", "--driver", driver, "--cache-dir"]);
        done(command.arg(node.path("cache")).arg(&image).arg(&at[2]));
        assert_eq!(node.ls().lines().count(), 1, "{driver}: {}", node.ls());
        node.umount_at(&at[2]);
        node.serve(&[]);
        for place in &at[..2] {
            assert_eq!(fs::read(place.join("0/file-4")).unwrap(), b"image 4", "{driver}");
        }
        assert!(!is_mounted(&at[2]), "{driver}: that was no mount of `serve`");
        at[..2].iter().for_each(|at| node.umount_at(at));
        wait(|| node.ls().is_empty(), "the end of all");
        node.kill();
        node.serve(&[]);
        assert_eq!(node.ls(), "", "{driver}");
        node.end();
    }
}

#[test]
fn the_next_mount_brings_back_what_a_killed_process_had() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let image = many_files(&node, "image", 1, 10);
        let at = node.places(2);
        node.mount(&image, &[]);
        node.mount_too(&image, &at[0]);
        node.kill();
        assert!(driver == "erofs" || fs::read_dir(&at[0]).is_err());
        let mut command = nydusd(&["mount", "--driver", driver, "--cache-dir"]);
        done(command.arg(node.path("cache")).arg(&image).arg(&at[1]));
        for place in [&at[0], &at[1], &node.at()] {
            assert_eq!(fs::read(place.join("0/file-4")).unwrap(), b"image 4", "{driver}");
        }
        assert_eq!(node.ls().lines().count(), 3, "{driver}");
        for place in [&at[0], &at[1], &node.at()] {
            node.umount_at(place);
        }
        // Asked to end, such a process ends with its mounts for good.
        wait(|| !node.path("cache/nydusd.sock").exists(), "its end");
        node.mount(&image, &[]);
        node.end();
        assert_eq!(fs::read_dir(node.path("cache/mounts")).unwrap().count(), 0, "{driver}");
    }
}

#[test]
fn a_mount_comes_back_as_the_same_image_without_a_registry() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let at = node.at();
        node.serve(&[]);
        node.mount_too(Path::new(&name), &at);
        assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        node.kill();
        registry.down.store(true, Ordering::SeqCst);
        let asked = registry.gets();
        node.serve(&[]);
        assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        assert_eq!(registry.gets(), asked, "{driver}: tags are not asked again");
        node.umount_at(&at);
        node.end();
    }
}

#[test]
fn an_image_that_vanished_is_read_as_far_as_it_is_here() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &["--read-limit", "1"]);
        let big = fs::read(node.at().join("a/big")).unwrap();
        fs::remove_dir_all(node.path("layout/blobs")).unwrap();
        node.forget_pages();
        assert!(fs::read(node.at().join("a/b/hard")).unwrap() == big, "{driver}");
        // The registry says that there is no such blob.
        let error = fs::read(node.at().join("chunk")).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver}");
        assert!(fs::read(node.at().join("a/big")).unwrap() == big, "{driver}");
        node.umount();
        registry.down.store(true, Ordering::SeqCst);
        let said = node.refused(Path::new(&name), &node.at());
        assert!(said.contains("team/demo"), "{driver}: {said}");
        assert!(!node.at().join("a").exists());
        // A layout: its manifest is looked for where it was.
        node.mount(&packed_again(&node, &tree), &[]);
        fs::remove_dir_all(node.path("again")).unwrap();
        same_or_error(&tree, &node.at());
        node.umount();
        let said = node.refused(&node.path("again"), &node.at());
        assert!(said.contains("again"), "{driver}: {said}");
    }
}

#[test]
fn a_registry_that_is_away_is_not_waited_for_by_each_mount() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let at = node.places(48);
        node.serve(&[]);
        at.iter().for_each(|at| node.mount_too(Path::new(&name), at));
        assert_eq!(same_or_error(&tree, &at[0]), 0, "{driver}");
        node.kill();
        registry.silent.store(true, Ordering::SeqCst);
        // Each by itself they would take longer than it waits until it says that it is there.
        node.serve(&[]);
        let told = node.ls();
        assert!(!told.contains("not mounted"), "{driver}: {told}");
        assert_eq!(same_or_error(&tree, &at[7]), 0, "{driver}");
        node.end();
    }
}

fn packed_again(node: &Node, tree: &Path) -> PathBuf {
    let layout = node.path("again");
    packed(tree, &layout);
    layout
}

#[test]
fn killed_while_many_read_nobody_gets_wrong_bytes() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        let at = node.at();
        node.serve(&[]);
        node.mount_too(&layout, &at);
        for round in 0..3_u64 {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while !stop.load(Ordering::SeqCst) {
                            read_all(&tree, &at);
                        }
                    });
                }
                std::thread::sleep(Duration::from_millis(30 + 80 * round));
                node.kill();
                node.serve(&[]);
                std::thread::sleep(Duration::from_millis(50));
                stop.store(true, Ordering::SeqCst);
            });
            node.forget_pages();
            assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        }
        node.umount_at(&at);
        node.end();
    }
}

/// Reads some files of both: what is read is right, whatever else is an error.
fn read_all(tree: &Path, at: &Path) {
    for name in ["a/big", "chunk", "page", "a/b/hard", "one"] {
        if let Ok(bytes) = fs::read(at.join(name)) {
            assert!(bytes == fs::read(tree.join(name)).unwrap(), "{name}");
        }
    }
}
