//! Who has the chunks is away, slow, or unwilling: reads wait, up to a limit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::server::dfdaemon;
use support::{Node, can_mount, drivers, wait, with_registry};

fn is_eio(read: std::io::Result<Vec<u8>>) {
    assert_eq!(Errno::from_io_error(&read.unwrap_err()), Some(Errno::IO));
}

/// How many threads of the process wait for chunks, or have lately.
fn waiting(node: &Node) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "reader").count()
}

#[test]
fn with_nobody_to_ask_a_read_fails_at_its_limit_and_works_again_later() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        node.mount(Path::new(&name), &["--read-limit", "3"]);
        fs::read(node.at().join("one")).unwrap();
        registry.down.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        is_eio(fs::read(node.at().join("chunk")));
        // Readahead and the read itself may each wait once.
        let took = begun.elapsed();
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_secs(30),
            "{driver} {took:?}"
        );
        eprintln!("{driver}: an error after {took:?}");
        // What is here is read all the while.
        assert_eq!(fs::read(node.at().join("one")).unwrap().len(), 1);
        registry.down.store(false, Ordering::SeqCst);
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        node.umount();
    }
}

#[test]
fn reads_wait_while_all_are_away_and_go_on_when_one_is_back() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.mount(Path::new(&name), &["--read-limit", "120"]);
        let same = |name: &str| {
            let found = fs::read(node.at().join(name)).unwrap();
            assert!(found == fs::read(tree.join(name)).unwrap(), "{driver} {name}");
        };
        for back in [&registry, &daemon] {
            // The large one last: not all of it may have been read ahead.
            let file = if Arc::ptr_eq(back, &registry) { "chunk" } else { "a/big" };
            for gone in [&registry, &daemon] {
                gone.down.store(true, Ordering::SeqCst);
            }
            std::thread::scope(|scope| {
                let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| same(file))).collect();
                std::thread::sleep(Duration::from_millis(1500));
                assert!(readers.iter().all(|reader| !reader.is_finished()), "{driver}");
                back.down.store(false, Ordering::SeqCst);
            });
        }
        node.umount();
    }
}

#[test]
fn an_answer_is_not_waited_out_and_new_credentials_are_taken_up() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let config = node.path("config.json");
        let host = name.split('/').next().unwrap();
        let login = |auth: &str| {
            let entry = serde_json::json!({ "auths": { host: { "auth": auth } } });
            fs::write(&config, entry.to_string()).unwrap();
            *registry.wants.lock().unwrap() = Some(format!("Basic {auth}"));
        };
        // "user:old", and later "user:new".
        login("dXNlcjpvbGQ=");
        let docker = config.to_str().unwrap();
        node.mount(Path::new(&name), &["--docker-config", docker, "--read-limit", "600"]);
        fs::read(node.at().join("one")).unwrap();
        // They are no longer good, and nobody has told us new ones.
        *registry.wants.lock().unwrap() = Some("Basic dXNlcjpuZXc=".to_owned());
        let begun = Instant::now();
        is_eio(fs::read(node.at().join("chunk")));
        assert!(begun.elapsed() < Duration::from_secs(60), "{driver}: {:?}", begun.elapsed());
        // Somebody writes them down.
        login("dXNlcjpuZXc=");
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        node.umount();
    }
}

#[test]
fn a_reader_that_is_killed_while_it_waits_holds_up_nobody_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        // What waits for this limit waits ten times as long as is allowed here.
        let limit = Duration::from_secs(60);
        node.mount(Path::new(&name), &["--read-limit", &limit.as_secs().to_string()]);
        let small = node.at().join("one");
        fs::read(&small).unwrap();
        registry.stalls.store(true, Ordering::SeqCst);
        let cat = |file: &str| {
            let mut command = Command::new("cat");
            let command = command.arg(node.at().join(file)).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut readers: Vec<_> = (0..6).map(|_| cat("a/big")).collect();
        std::thread::sleep(Duration::from_millis(500));
        let killed = Instant::now();
        for reader in &mut readers {
            reader.kill().unwrap();
        }
        assert!(waiting(&node) > 0, "{driver}: nobody waits");
        // What is here is read at once, also where nothing of it is in the kernel any more.
        node.forget_pages();
        let begun = Instant::now();
        assert_eq!(fs::read(&small).unwrap().len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(5), "{driver}: {:?}", begun.elapsed());
        for mut reader in readers {
            reader.wait().unwrap();
        }
        let took = killed.elapsed();
        assert!(took < limit / 10, "{driver}: the killed readers were gone after {took:?}");
        eprintln!("{driver}: the killed readers were gone after {took:?}");
        registry.stalls.store(false, Ordering::SeqCst);
        let found = fs::read(node.at().join("a/big")).unwrap();
        assert!(found == fs::read(tree.join("a/big")).unwrap(), "{driver}");
        wait(|| waiting(&node) == 0, "the end of the threads of the killed readers");
        node.umount();
    }
}
