//! What comes before anybody reads it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use image_builder::convert::Options;
use rafs::ChunkSize;
use support::reads::same_or_error;
use support::server::{Behaviour, dfdaemon, registry};
use support::trees::{directory, packed_so};
use support::{Node, can_mount, drivers, wait, with_registry};

/// A node, its image's name, and the registry; the image's list names the folder `a` and a file.
fn listed(driver: &'static str) -> (Node, String, Arc<Behaviour>) {
    let node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    let path = |name: &str| tree::Path::parse(name.as_bytes()).unwrap();
    let mut options = Options { prefetch: vec![path("/a"), path("/one")], ..Options::default() };
    options.format.chunk_size = ChunkSize::new(64 << 10).unwrap();
    options.format.batch_size = None;
    packed_so(&tree, &layout, &options);
    let (address, behaviour) = registry(&layout);
    (node, format!("{address}/team/demo:v1"), behaviour)
}

/// Waits until nothing more is asked for; how many parts were.
fn settled(registry: &Behaviour) -> u64 {
    let (mut before, mut same) = (u64::MAX, 0);
    for _ in 0..100 {
        let again = std::mem::replace(&mut before, registry.parts()) == registry.parts();
        same = if again { same + 1 } else { 0 };
        if same == 6 {
            return before;
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    panic!("prefetching does not end");
}

/// How many bytes of chunks are kept, as `ls` says.
fn held(node: &Node) -> u64 {
    node.ls_json()["held"].as_u64().unwrap()
}

#[test]
fn the_images_list_is_fetched_and_nothing_else() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, name, registry) = listed(driver);
        node.mount(Path::new(&name), &[]);
        settled(&registry);
        let tree = node.path("tree");
        let (asked, bytes) = (registry.parts(), registry.bytes.load(Ordering::SeqCst));
        // Eighty chunks, in requests of up to 1 MiB.
        assert!(asked < 20, "{driver}: {asked} requests");
        assert!(bytes < 5_100_000, "{driver}: {bytes}");
        registry.down.store(true, Ordering::SeqCst);
        for file in ["a/big", "a/b/hard", "one"] {
            let found = fs::read(node.at().join(file)).unwrap();
            assert!(found == fs::read(tree.join(file)).unwrap(), "{driver} {file}");
        }
        registry.down.store(false, Ordering::SeqCst);
        fs::read(node.at().join("chunk")).unwrap();
        assert!(registry.parts() > asked, "{driver}: that was not on the list");
        node.umount();
    }
}

#[test]
fn what_is_prefetched_is_told() {
    if !can_mount() {
        return;
    }
    let (mut node, name, _registry) = listed("fuse");
    let daemon = dfdaemon(&node.path("layout"), &node.socket());
    daemon.stalls.store(true, Ordering::SeqCst);
    node.mount(Path::new(&name), &[]);
    let stats = || node.stats_json()["prefetch"].clone();
    let number = |stats: &serde_json::Value, name: &str| stats[name].as_u64().unwrap();
    let before = stats();
    // The chunks of `a/big` and `one`; what is on its way is not here.
    assert_eq!((&before["going"], number(&before, "chunks")), (&true.into(), 0), "{before}");
    assert_eq!(number(&before, "left_bytes"), 5_000_124, "{before}");
    daemon.stalls.store(false, Ordering::SeqCst);
    wait(|| stats()["going"] == false, "its end");
    let after = stats();
    assert_eq!((number(&after, "left"), number(&after, "left_bytes")), (0, 0), "{after}");
    assert_eq!(number(&after, "chunks"), number(&before, "left"), "{after}");
    assert_eq!(number(&after, "bytes"), 5_000_124, "{after}");
    assert!(number(&after, "ended") >= number(&after, "began"), "{after}");
    assert!((1..20).contains(&number(&after, "requests")), "{after}");
    node.umount();
}

#[test]
fn without_a_list_nothing_is_fetched_and_with_none_not_even_that() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, registry) = with_registry("fuse");
    node.mount(Path::new(&name), &[]);
    let before = registry.bytes.load(Ordering::SeqCst);
    settled(&registry);
    assert_eq!((held(&node), registry.bytes.load(Ordering::SeqCst)), (0, before));
    let files = fs::read_dir(node.path("cache/blobs")).unwrap().count();
    assert_eq!(files, 0, "nothing was read: the cache has no file of it");
    node.umount();
    let (mut node, name, registry) = listed("fuse");
    node.mount(Path::new(&name), &["--prefetch", "none"]);
    settled(&registry);
    assert_eq!(held(&node), 0);
    node.umount();
}

#[test]
fn all_of_it_comes_and_the_registry_is_needed_no_more() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        // Who has the chunks misbehaves for a while.
        daemon.lies.store(true, Ordering::SeqCst);
        node.mount(Path::new(&name), &["--prefetch", "all"]);
        wait(|| daemon.parts() > 0, "the first request");
        daemon.lies.store(false, Ordering::SeqCst);
        for server in [&daemon, &registry] {
            server.down.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(500));
        for server in [&daemon, &registry] {
            server.down.store(false, Ordering::SeqCst);
        }
        ended(&node, 1);
        let asked = daemon.asked();
        assert!(asked.iter().all(|line| !line.contains("priority=blocked")), "{driver}");
        for server in [&daemon, &registry] {
            server.down.store(true, Ordering::SeqCst);
        }
        assert_eq!(same_or_error(&tree, &node.at()), 0, "{driver}");
        node.umount();
    }
}

/// Waits until so many mounts' threads, two each, have nothing more to do.
fn ended(node: &Node, mounts: usize) {
    let log = node.path("cache/nydusd.log");
    let ended = || fs::read_to_string(&log).unwrap_or_default().matches("is here, or on").count();
    let begun = Instant::now();
    while ended() < 2 * mounts {
        assert!(begun.elapsed() < Duration::from_secs(120), "prefetching does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_an_earlier_run_has_left_is_checked_and_what_is_wrong_comes_again() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let again = node.path("again");
        fs::create_dir(&again).unwrap();
        node.mount(Path::new(&name), &["--prefetch", "all"]);
        ended(&node, 1);
        node.umount();
        let mut blobs =
            fs::read_dir(node.path("cache/blobs")).unwrap().map(|entry| entry.unwrap().path());
        let data = blobs.find(|path| path.extension().is_some_and(|end| end == "data")).unwrap();
        let file = fs::File::options().write(true).open(&data).unwrap();
        let length = file.metadata().unwrap().len();
        file.write_all_at(b"damaged", length / 2).unwrap();

        let asked = registry.parts();
        // What is here counts for nothing: at this rate all of it would take an hour.
        node.mount(Path::new(&name), &["--prefetch", "all", "--prefetch-rate", "2KiB"]);
        ended(&node, 2);
        assert!(registry.parts() > asked, "{driver}: the damaged chunk was not fetched");
        if driver == "erofs" {
            // All of it was verified: the next mount needs nobody.
            node.mount_too_so(Path::new(&name), &again, &["--prefetch", "none"]);
            assert!(data.with_extension("device").exists());
            node.kill();
            assert_eq!(same_or_error(&tree, &again), 0);
        } else {
            registry.down.store(true, Ordering::SeqCst);
            assert_eq!(same_or_error(&tree, &node.at()), 0);
            node.umount();
        }
    }
}

#[test]
fn it_keeps_within_its_rate_and_ends_with_its_mount() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, registry) = with_registry("fuse");
    let begun = Instant::now();
    node.mount(Path::new(&name), &["--prefetch", "all", "--prefetch-rate", "200KiB"]);
    let metadata = registry.bytes.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(4));
    let (fetched, took) = (registry.bytes.load(Ordering::SeqCst) - metadata, begun.elapsed());
    let allowed = (took.as_secs_f64() + 2.0) * 200.0 * 1024.0;
    assert!(fetched > 0, "nothing was fetched");
    #[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
    let of_allowed = fetched as f64 / allowed;
    // A chunk of 1 MiB is asked for at once, whatever the rate.
    eprintln!("{fetched} bytes in {took:?}: {of_allowed:.2} of what is allowed");
    assert!(of_allowed <= 1.0, "{fetched} bytes in {took:?}");
    let whole = same_or_error(&node.path("tree"), &node.at());
    assert_eq!(whole, 0);
    // Much of it is still to come when it ends, and the process ends with it.
    node.umount();
}

#[test]
fn it_stops_while_a_reader_waits() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, registry) = with_registry("fuse");
    let daemon = dfdaemon(&node.path("layout"), &node.socket());
    // One chunk a second or so, so that it is going on all the while.
    let slowly = ["--prefetch", "all", "--prefetch-rate", "256KiB", "--prefetch-threads", "1"];
    node.mount(Path::new(&name), &slowly);
    wait(|| daemon.parts() > 0, "the first request");
    daemon.stalls.store(true, Ordering::SeqCst);
    registry.stalls.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(node.at().join("a/big")).unwrap());
        wait(|| daemon.asked().iter().any(|line| line.contains("priority=blocked")), "a read");
        let prefetched = || {
            let asked = daemon.asked();
            asked.iter().filter(|line| line.contains("priority=prefetch")).count()
        };
        // One may have been on its way.
        std::thread::sleep(Duration::from_millis(300));
        let before = prefetched();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(prefetched(), before);
        daemon.stalls.store(false, Ordering::SeqCst);
        registry.stalls.store(false, Ordering::SeqCst);
        reader.join().unwrap();
        wait(|| prefetched() > before, "more");
    });
    node.umount();
}

#[test]
fn what_does_not_fit_is_not_prefetched() {
    if !can_mount() {
        return;
    }
    let (mut node, tree, name, registry) = with_registry("fuse");
    node.mount(Path::new(&name), &["--prefetch", "all", "--cache-size", "3MiB"]);
    fs::read(node.at().join("one")).unwrap();
    settled(&registry);
    let held = held(&node);
    assert!(held > 0 && held <= 3 << 20, "{held}");
    // What was read is still here.
    let asked = registry.parts();
    node.forget_pages();
    fs::read(node.at().join("one")).unwrap();
    assert_eq!(registry.parts(), asked);
    assert_eq!(same_or_error(&tree, &node.at()), 0);
    node.umount();
}
