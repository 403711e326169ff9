//! One image whose registry is away, and many who read it: those of others, and what is on the disk,
//! wait for none of that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use image_builder::convert::Options;
use rustix::io::Errno;
use support::server::registry;
use support::trees::packed_so;
use support::{Node, can_mount, wait, with_registry};

/// How many read the image whose registry is away: more than there are threads.
const READERS: usize = 300;

/// How long each of them waits, in seconds.
const LIMIT: u64 = 20;

/// How many reads of the first mount wait, as it says itself.
fn waiting(node: &Node) -> u64 {
    let mut command = support::nydusd(&["stats", "--json"]);
    let output =
        command.arg(node.at()).arg("--cache-dir").arg(node.path("cache")).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    told["reads"]["waiting"].as_u64().unwrap()
}

/// Reads a file while the others wait: its bytes, well before they give up.
fn at_once(file: &Path, expected: &Path, what: &str) {
    let begun = Instant::now();
    let found = fs::read(file);
    let took = begun.elapsed();
    eprintln!("{what}: {took:?}");
    assert!(found.unwrap() == fs::read(expected).unwrap(), "{what}");
    assert!(took < Duration::from_secs(LIMIT / 2), "{what}: {took:?}");
}

/// By `fuse` each file is a read of its own; EROFS would read many of so small ones at once.
#[test]
fn an_image_whose_registry_is_away_keeps_none_from_reading_others_or_what_is_here() {
    if !can_mount() {
        return;
    }
    let (mut node, tree, healthy, _) = with_registry("fuse");
    let (layout, small) = (node.path("dead"), node.path("dead.tree"));
    fs::create_dir(&small).unwrap();
    for number in 0..READERS + 2 {
        fs::write(small.join(number.to_string()), format!("the bytes of {number}")).unwrap();
    }
    let mut options = Options::default();
    // A chunk for each file, by itself.
    options.format.batch_size = None;
    packed_so(&small, &layout, &options);
    let (address, dead) = registry(&layout);
    let (dead_image, limit) = (format!("{address}/team/dead:v1"), LIMIT.to_string());
    let more = ["--read-limit", &limit, "--prefetch", "none"];
    let (kept, proves) = ("0", "1");
    // An earlier run has left a file on the disk.
    node.mount(Path::new(&dead_image), &more);
    fs::read(node.at().join(kept)).unwrap();
    node.umount();
    node.mount(Path::new(&dead_image), &more);
    fs::read(node.at().join(proves)).unwrap();
    let at = node.places(1).remove(0);
    node.mount_too(Path::new(&healthy), &at);
    dead.silent.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for number in 2..READERS + 2 {
            let file = node.at().join(number.to_string());
            scope.spawn(move || {
                // It may come in the end, when the registry speaks again.
                if let Err(error) = fs::read(file) {
                    assert_eq!(Errno::from_io_error(&error), Some(Errno::IO));
                }
            });
        }
        wait(|| waiting(&node) > READERS as u64 / 2, "a crowd");
        at_once(&at.join("chunk"), &tree.join("chunk"), "another image");
        at_once(&at.join("page"), &tree.join("page"), "and once more");
        at_once(&node.at().join(kept), &small.join(kept), "what is on the disk");
        let still = waiting(&node);
        dead.silent.store(false, Ordering::SeqCst);
        assert!(still > READERS as u64 / 2, "{still} wait: it was no crowd");
    });
    support::done(support::nydusd(&["umount"]).arg(&at));
    node.umount();
}
