//! Images in a registry, with and without a dfdaemon on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use image_builder::convert::Options;
use rafs::ChunkSize;
use support::same::{Leave, differences};
use support::server::{dfdaemon, registry};
use support::trees::packed_so;
use support::{Node, can_mount, drivers, with_registry};
use testbed::text;

const CHUNK: u32 = 64 << 10;

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

/// An image of small chunks: two files of the same bytes, which are returned.
fn small_chunks(node: &Node) -> Vec<u8> {
    let tree = node.path("tree");
    fs::create_dir(&tree).unwrap();
    let bytes = text(5, 8 << 20);
    for name in ["one", "other"] {
        fs::write(tree.join(name), &bytes).unwrap();
    }
    let mut options = Options::default();
    options.format.chunk_size = ChunkSize::new(CHUNK).unwrap();
    options.format.batch_size = None;
    packed_so(&tree, &node.path("layout"), &options);
    bytes
}

#[test]
fn of_chunks_that_came_together_only_the_wrong_one_is_fetched_again() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let bytes = small_chunks(&node);
        let (address, registry) = registry(&node.path("layout"));
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&format!("{address}/team/demo:v1")), &[]);
        let before = (daemon.parts(), registry.parts());
        daemon.lies.store(true, Ordering::SeqCst);
        assert!(fs::read(node.at().join("one")).unwrap() == bytes, "{driver}");
        // Of each answer one bit is wrong; for that chunk it is asked once more, and lies.
        let (lies, honest) = (daemon.parts() - before.0, registry.parts() - before.1);
        let chunks = bytes.len() as u64 / u64::from(CHUNK);
        assert!(honest > 0 && honest <= lies, "{driver}: {honest} of {lies}");
        assert!(honest <= chunks / 2, "{driver}: {honest} of {chunks} chunks were wrong");
        node.umount();
    }
}

#[test]
fn neighbours_are_asked_for_together_and_a_small_read_asks_for_its_chunk() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let bytes = small_chunks(&node);
        let (address, registry) = registry(&node.path("layout"));
        node.mount(Path::new(&format!("{address}/team/demo:v1")), &[]);
        let before = (registry.parts(), registry.bytes.load(Ordering::SeqCst));
        // One page, from the middle.
        let file = fs::File::open(node.at().join("one")).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        let mut page = [0; 4096];
        file.read_exact_at(&mut page, 3_000_000).unwrap();
        assert!(page[..] == bytes[3_000_000..][..4096], "{driver}");
        let after = (registry.parts(), registry.bytes.load(Ordering::SeqCst));
        // (EROFS reads whole pages of its device as it likes, but not beyond the next chunk.)
        assert!(after.0 - before.0 <= 2, "{driver}: {} requests for a page", after.0 - before.0);
        assert!(after.1 - before.1 <= 2 * u64::from(CHUNK), "{driver}: {}", after.1 - before.1);
        drop(file);
        // All of it: far fewer requests than chunks.
        assert!(fs::read(node.at().join("other")).unwrap() == bytes, "{driver}");
        let (chunks, asked) = (bytes.len() as u64 / u64::from(CHUNK), registry.parts() - after.0);
        eprintln!("{driver}: {asked} requests for {chunks} chunks");
        assert!(asked <= chunks / 3, "{driver}: {asked} requests for {chunks} chunks");
        node.umount();
    }
}
