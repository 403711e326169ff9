//! A registry that takes connections and says nothing, and one that lies: a read ends within its
//! limit, right or as an error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::reads::same_or_error;
use support::rig::Rig;
use support::{can_mount, drivers, with_registry};

/// Reads a file that cannot be had: an error, within a small multiple of a limit of 3 s. (Readahead
/// and the read itself may each wait, and the kernel asks again.)
fn fails_in_time(path: &Path, driver: &str) {
    let begun = Instant::now();
    let error = fs::read(path).unwrap_err();
    let took = begun.elapsed();
    eprintln!("{driver}: an error after {took:?}");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver}");
    assert!(took < Duration::from_secs(20), "{driver}: {took:?}");
}

#[test]
fn a_silent_registry_is_not_waited_for_beyond_the_limit() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &["--read-limit", "3"]);
        registry.silent.store(true, Ordering::SeqCst);
        fails_in_time(&node.at().join("chunk"), driver);
        registry.silent.store(false, Ordering::SeqCst);
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
    }
}

/// Such a mount knows its blobs from the bootstrap alone: how long each is, the registry is asked.
#[test]
fn nor_where_it_must_be_asked_how_long_a_blob_is() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::new(driver);
        let config = rig.daemon.path("config.json");
        fs::write(&config, rig.config.to_string()).unwrap();
        let mut command = rig.daemon.command(&["fuse"]);
        command.arg("--config").arg(config).arg("--bootstrap").arg(&rig.bootstrap);
        rig.registry.silent.store(true, Ordering::SeqCst);
        command.args(["--read-limit", "3"]);
        rig.daemon.start(command);
        fails_in_time(&rig.daemon.at().join("chunk"), driver);
        rig.registry.silent.store(false, Ordering::SeqCst);
        rig.shows(&rig.daemon.at());
    }
}

#[test]
fn a_registry_that_lies_is_an_error_and_never_other_bytes() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &["--read-limit", "3"]);
        registry.lies.store(true, Ordering::SeqCst);
        fails_in_time(&node.at().join("chunk"), driver);
        let (begun, mut errors) = (Instant::now(), 1);
        for file in ["one", "page", "program", "a/b/hard"] {
            match fs::read(node.at().join(file)) {
                Ok(bytes) => {
                    assert!(bytes == fs::read(tree.join(file)).unwrap(), "{driver} {file}")
                }
                Err(error) => {
                    assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver} {file}");
                    errors += 1;
                }
            }
        }
        eprintln!("{driver}: {errors} of five files failed after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(40), "{driver}: {:?}", begun.elapsed());
        // Works again once it tells the truth, without a new mount.
        registry.lies.store(false, Ordering::SeqCst);
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
    }
}
