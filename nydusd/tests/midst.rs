//! Processes that end, or are killed, in the midst of mounting: no mount is lost, and none stays behind
//! that nobody serves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::reads::same_or_error;
use support::trees::many_files;
use support::{Node, can_mount, done, drivers, nydusd, wait, with_registry};

/// Run where nobody else sees what is mounted: a killed `serve` is followed by one that the kernel
/// refuses, which is killed too, and that one by one that it does not refuse.
const KILLED_TWICE: &str = r#"
set -e
serve() { "$NYDUSD" serve --cache-dir "$CACHE" --dfdaemon "$CACHE/none" & served=$!; }
killed() { kill -9 $served; wait $served || true; }
told() { for _ in $(seq 500); do
    "$NYDUSD" ls --cache-dir "$CACHE" | grep -q "$1" && return; sleep 0.02; done; echo "never: $1" >&2; return 1; }
serve
for _ in $(seq 500); do test -S "$CACHE/nydusd.sock" && break; sleep 0.02; done
"$NYDUSD" mount --driver "$DRIVER" --cache-dir "$CACHE" "$IMAGE" "$AT"
killed
mount --bind /dev/null /dev/fuse
serve
told "cannot be mounted on"
killed
umount /dev/fuse
serve
told "bytes fetched"
test "$(cat "$AT/0/file-4")" = "image 4"
"$NYDUSD" umount "$AT" --cache-dir "$CACHE"
kill $served
wait $served
"#;

#[test]
fn killed_again_before_a_mount_was_back_it_comes_back_all_the_same() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let node = Node::new(driver);
        let image = many_files(&node, "image", 1, 10);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", KILLED_TWICE]).env("DRIVER", driver).env("IMAGE", image);
        command.env("NYDUSD", nydusd(&[]).get_program()).env("CACHE", node.path("cache"));
        done(command.env("AT", node.at()));
        assert_eq!(fs::read_dir(node.path("cache/mounts")).unwrap().count(), 0, "{driver}");
    }
}

#[test]
fn a_mount_that_was_ordered_when_the_process_is_asked_to_end_is_another_ones() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let at = node.at();
        node.serve(&[]);
        registry.silent.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let mount = scope.spawn(|| node.mount_too(Path::new(&name), &at));
            std::thread::sleep(Duration::from_millis(500));
            node.terminate();
            std::thread::sleep(Duration::from_millis(500));
            registry.silent.store(false, Ordering::SeqCst);
            mount.join().unwrap();
        });
        assert!(node.served().wait().unwrap().success(), "{driver}");
        // Who ordered it was told no, and started a process.
        assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        node.umount_at(&at);
        wait(|| !node.path("cache/nydusd.sock").exists(), "its end");
    }
}

#[test]
fn asked_to_end_while_it_brings_a_mount_back_it_leaves_that_to_the_next() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let at = node.at();
        node.serve(&[]);
        node.mount_too(Path::new(&name), &at);
        node.end();
        // Without its word of before, the registry is waited for.
        fs::remove_dir_all(node.path("cache/grants")).unwrap();
        registry.silent.store(true, Ordering::SeqCst);
        let mut served = node.serve_command().spawn().unwrap();
        wait(|| node.ls().contains("it is being brought back"), "the try");
        std::thread::sleep(Duration::from_millis(200));
        let pid = rustix::process::Pid::from_child(&served);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        registry.silent.store(false, Ordering::SeqCst);
        assert!(served.wait().unwrap().success(), "{driver}");
        let there = nydusd::mounts::at(&at).unwrap();
        assert!(there.is_none(), "{driver}: {there:?}");
        node.serve(&[]);
        assert_eq!(same_or_error(&tree, &at), 0, "{driver}");
        node.umount_at(&at);
        node.end();
    }
}
