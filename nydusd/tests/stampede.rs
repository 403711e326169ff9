//! What dfdaemon says while it is there, and who is asked then: a slow or unwilling registry is not
//! asked by each node for itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::server::{Behaviour, dfdaemon};
use support::{can_mount, drivers, wait, with_registry};

/// Long enough for several tries.
const WHILE: Duration = Duration::from_secs(3);

#[test]
fn while_dfdaemon_tries_the_registry_is_not_asked() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&name), &["--prefetch", "none"]);
        let before = registry.parts();
        for (says, file) in
            [("502 origin", "chunk"), ("503 unavailable", "page"), ("429 refused", "a/big")]
        {
            daemon.says(Some(says));
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| fs::read(node.at().join(file)));
                std::thread::sleep(WHILE);
                assert!(!reader.is_finished(), "{driver} {says}");
                daemon.says(None);
                let found = reader.join().unwrap().unwrap();
                assert!(found == fs::read(tree.join(file)).unwrap(), "{driver} {says}");
            });
        }
        assert_eq!(registry.parts(), before, "{driver}: the registry was asked");
        node.umount();
    }
}

#[test]
fn prefetching_never_asks_the_registry_while_dfdaemon_is_there() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, registry) = with_registry("fuse");
    let daemon = dfdaemon(&node.path("layout"), &node.socket());
    node.mount(Path::new(&name), &["--prefetch", "none"]);
    node.umount();
    let before = registry.parts();
    for says in ["502 origin", "503 unavailable", "500 odd"] {
        daemon.says(Some(says));
        let asked = daemon.asked().len();
        node.mount(Path::new(&name), &["--prefetch", "all"]);
        wait(|| daemon.asked().len() > asked + 1, "a try");
        std::thread::sleep(WHILE);
        node.umount();
    }
    assert_eq!(registry.parts(), before);
}

#[test]
fn metadata_comes_by_way_of_dfdaemon_and_is_not_believed() {
    if !can_mount() {
        return;
    }
    let blobs = |server: &Behaviour| {
        let asked = server.asked();
        asked.iter().filter(|line| line.starts_with("GET ") && line.contains("blob")).count()
    };
    // What it does, and whether the registry is asked then.
    for (misbehaves, asked) in [("no", false), ("lies", true), ("says", true), ("silent", true)] {
        let (mut node, tree, name, registry) = with_registry("auto");
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        daemon.lies.store(misbehaves == "lies", Ordering::SeqCst);
        daemon.silent.store(misbehaves == "silent", Ordering::SeqCst);
        daemon.says((misbehaves == "says").then_some("403 not-admitted"));
        node.mount(Path::new(&name), &["--prefetch", "none"]);
        assert_eq!(blobs(&registry) > 0, asked, "{misbehaves}");
        assert!(blobs(&daemon) > 0 || misbehaves == "silent", "{misbehaves}");
        let metadata = blobs(&registry);
        daemon.lies.store(false, Ordering::SeqCst);
        daemon.says(None);
        if misbehaves != "silent" {
            let found = fs::read(node.at().join("chunk")).unwrap();
            assert!(found == fs::read(tree.join("chunk")).unwrap(), "{misbehaves}");
            assert_eq!(blobs(&registry), metadata, "{misbehaves}: the registry was asked");
        }
        node.umount();
    }
}

#[test]
fn a_read_by_way_of_a_dfdaemon_that_has_nothing_ends_at_its_limit() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&name), &["--prefetch", "none", "--read-limit", "3"]);
        let before = registry.parts();
        daemon.says(Some("503 unavailable"));
        let begun = Instant::now();
        let error = fs::read(node.at().join("chunk")).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{driver}: {:?}", begun.elapsed());
        assert_eq!(registry.parts(), before, "{driver}");
        // That it is none of its business, it says once and for all.
        daemon.says(Some("403 not-admitted"));
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        assert!(registry.parts() > before, "{driver}");
        node.umount();
    }
}

#[test]
fn a_dfdaemon_that_takes_its_time_is_waited_for_and_one_that_hangs_is_away() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&name), &["--prefetch", "none", "--read-limit", "30"]);
        let before = registry.parts();
        // It answers other questions all the while: nobody goes past it.
        daemon.stalls.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(node.at().join("chunk")));
            std::thread::sleep(Duration::from_secs(9));
            assert!(!reader.is_finished(), "{driver}");
            daemon.stalls.store(false, Ordering::SeqCst);
            let found = reader.join().unwrap().unwrap();
            assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        });
        assert_eq!(registry.parts(), before, "{driver}");
        // It is stuck: the registry is asked, well within the limit.
        daemon.silent.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let found = fs::read(node.at().join("a/big")).unwrap();
        eprintln!("{driver}: past a dfdaemon that hangs in {:?}", begun.elapsed());
        assert!(found == fs::read(tree.join("a/big")).unwrap(), "{driver}");
        assert!(registry.parts() > before, "{driver}");
        daemon.silent.store(false, Ordering::SeqCst);
        node.umount();
    }
}
