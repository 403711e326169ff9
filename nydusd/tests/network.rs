//! Images in a registry, with and without a dfdaemon on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::same::{Leave, differences};
use support::server::{Behaviour, dfdaemon, registry};
use support::trees::{directory, packed};
use support::{Node, can_mount, drivers};

/// A node, the tree that it should show, the image's name, and the registry that has it.
fn with_registry(driver: &'static str) -> (Node, PathBuf, String, Arc<Behaviour>) {
    let node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    packed(&tree, &layout);
    let (address, behaviour) = registry(&layout);
    (node, tree, format!("{address}/team/demo:v1"), behaviour)
}

#[test]
fn a_registry_is_asked_for_what_is_read_and_for_no_more() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &[]);
        let (at, metadata) = (node.at(), registry.parts());
        // The tree alone costs nothing.
        assert!(fs::read_dir(at.join("many")).unwrap().count() == 700);
        assert_eq!(registry.parts(), metadata, "{driver}");
        assert_eq!(fs::read(at.join("a/big")).unwrap(), fs::read(tree.join("a/big")).unwrap());
        let (parts, bytes) = (registry.parts(), registry.bytes.load(Ordering::SeqCst));
        assert!((5..=6).contains(&(parts - metadata)), "{driver}: {parts} parts for five chunks");
        assert!(bytes < 5_000_123, "{driver}: they come compressed");
        // Kept: nothing is asked twice.
        node.forget_pages();
        assert_eq!(fs::read(at.join("a/b/hard")).unwrap(), fs::read(tree.join("a/big")).unwrap());
        assert_eq!(registry.parts(), parts, "{driver}");
        assert_eq!(differences(&tree, &at, Leave::default()), Vec::<String>::new(), "{driver}");
        node.umount();
    }
}

#[test]
fn a_dfdaemon_is_asked_before_the_registry_and_is_not_believed() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&name), &[]);
        let same = |name: &str| {
            let found = fs::read(node.at().join(name)).unwrap();
            assert!(found == fs::read(tree.join(name)).unwrap(), "{driver} {name}");
        };
        let metadata = registry.parts();
        same("one");
        assert_eq!((daemon.parts() > 0, registry.parts()), (true, metadata), "{driver}");
        let asked = daemon.asked().pop().unwrap();
        assert!(asked.contains("team%2Fdemo") && asked.contains("priority=blocked"), "{asked}");
        // It lies: the registry is asked, and the reader gets what is right.
        daemon.lies.store(true, Ordering::SeqCst);
        same("chunk");
        let after_a_lie = registry.parts();
        assert!(after_a_lie > metadata, "{driver}");
        // It is out of order, and then away altogether.
        daemon.lies.store(false, Ordering::SeqCst);
        daemon.down.store(true, Ordering::SeqCst);
        same("page");
        fs::remove_file(node.socket()).unwrap();
        same("a/big");
        assert!(registry.parts() > after_a_lie, "{driver}");
        node.umount();
    }
}

#[test]
fn with_nobody_to_ask_a_read_fails_in_time_and_works_again_later() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &[]);
        fs::read(node.at().join("one")).unwrap();
        registry.down.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let error = fs::read(node.at().join("chunk")).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver}");
        assert!(begun.elapsed() < Duration::from_secs(100), "{driver}: {:?}", begun.elapsed());
        eprintln!("{driver}: an error after {:?}", begun.elapsed());
        // What is here is read all the while.
        fs::read(node.at().join("one")).unwrap();
        registry.down.store(false, Ordering::SeqCst);
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        node.umount();
    }
}
