//! Folders that cannot be mounted on, and a cache that two want.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::trees::many_files;
use support::{Node, can_mount, done, drivers, nydusd, wait};

#[test]
fn places_that_cannot_be_mounted_on_are_told_with_what_to_do() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("auto");
    let image = many_files(&node, "image", 1, 10);
    let missing = node.path("no/such");
    let said = node.refused(&image, &missing);
    assert!(said.contains(&format!("mkdir -p {}", missing.display())), "{said}");
    fs::write(node.path("file"), "").unwrap();
    assert!(node.refused(&image, &node.path("file")).contains("it is no folder"));
    node.mount(&image, &[]);
    let said = node.refused(&image, &node.at());
    assert!(said.contains("mounted on already") && said.contains("nydusd umount"), "{said}");
    // A path with a link in it is the same place.
    std::os::unix::fs::symlink(node.at(), node.path("link")).unwrap();
    assert!(node.refused(&image, &node.path("link")).contains("mounted on already"));
    let open = File::open(node.at().join("0/file-1")).unwrap();
    let busy = nydusd(&["umount"]).arg(node.at()).output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    drop(open);
    assert_eq!(node.ls().lines().count(), 1);
    node.umount();
}

#[test]
fn two_processes_never_have_one_cache() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("auto");
    let image = many_files(&node, "image", 1, 10);
    // Ten that begin at one moment: one process, ten mounts.
    let at = node.places(10);
    let mounts: Vec<_> = at
        .iter()
        .map(|at| {
            let mut command = nydusd(&["mount", "--cache-dir"]);
            command.arg(node.path("cache")).arg(&image).arg(at).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for mount in mounts {
        let output = mount.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(node.ls().lines().count(), 10, "{}", node.ls());
    let second = node.serve_command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("used by another process") && said.contains("nydusd ls"), "{said}");
    for at in &at {
        assert_eq!(fs::read(at.join("0/file-9")).unwrap(), b"image 9");
        node.umount_at(at);
    }
    // The cache is free as soon as the last is gone, even for who comes at once.
    node.serve(&[]);
    node.end();
}

#[test]
fn what_stands_in_its_place_when_a_mounts_last_user_goes_stays() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let image = many_files(&node, "image", 1, 10);
        let at = node.places(2);
        node.serve(&[]);
        at.iter().for_each(|at| node.mount_too(&image, at));
        let open: Vec<_> = at.iter().map(|at| File::open(at.join("0/file-3")).unwrap()).collect();
        at.iter().for_each(|at| done(Command::new("umount").arg("-l").arg(at)));
        // Somebody else's, and another one of ours.
        done(Command::new("mount").args(["-t", "tmpfs", "x"]).arg(&at[0]));
        fs::write(at[0].join("theirs"), "").unwrap();
        node.mount_too(&image, &at[1]);
        for open in open {
            assert_eq!(std::io::read_to_string(open).unwrap(), "image 3", "{driver}");
        }
        wait(|| node.ls().lines().count() == 1, "the end of the first");
        // As long as it takes that the end of both is seen.
        std::thread::sleep(Duration::from_secs(1));
        let theirs = at[0].join("theirs").exists();
        let _ = Command::new("umount").arg(&at[0]).status();
        assert!(theirs, "{driver}");
        assert_eq!(fs::read(at[1].join("0/file-4")).unwrap(), b"image 4", "{driver}");
        node.umount_at(&at[1]);
        // Nor is another process's mount taken away by one that ends.
        node.mount_too(&image, &at[0]);
        let open = File::open(at[0].join("0/file-3")).unwrap();
        done(Command::new("umount").arg("-l").arg(&at[0]));
        let mut other = Node::new(driver);
        other.serve(&[]);
        other.mount_too(&image, &at[0]);
        node.terminate();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(fs::read(at[0].join("0/file-4")).unwrap(), b"image 4", "{driver}");
        drop(open);
        assert!(node.served().wait().unwrap().success(), "{driver}");
        assert_eq!(fs::read(at[0].join("0/file-5")).unwrap(), b"image 5", "{driver}");
        other.umount_at(&at[0]);
        other.end();
    }
}
