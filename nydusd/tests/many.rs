//! Many mounts in one process, and its end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::same::{Leave, differences};
use support::trees::many_files;
use support::{Node, can_mount, done, drivers, limited, nydusd, wait, with_layout};

/// Anonymous memory of a process, in KiB (proc_pid_smaps(5)).
fn anonymous(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn one_process_has_all_mounts_over_a_cache_and_little_memory() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, layout) = with_layout(driver);
        node.mount(&layout, &[]);
        let large = many_files(&node, "large", 100, 100);
        let before = anonymous(node.pid());
        let places: Vec<_> = (0..8).map(|number| node.path(&format!("at-{number}"))).collect();
        for at in &places {
            fs::create_dir(at).unwrap();
            node.mount_too(&large, at);
            assert_eq!(fs::read_dir(at.join("7")).unwrap().count(), 100);
            assert_eq!(fs::read(at.join("3/file-4")).unwrap(), b"large 4");
        }
        let each = anonymous(node.pid()).saturating_sub(before) / places.len() as u64;
        assert!(each < 2048, "{driver}: {each} KiB a mount");
        eprintln!(
            "{driver}: {each} KiB of anonymous memory for each further mount of 10 000 files"
        );
        let told = node.ls();
        assert_eq!(told.lines().count(), 9, "{told}");
        assert!(told.contains(places[0].to_str().unwrap()), "{told}");
        // The first is untouched by all that, and by their end.
        for at in &places {
            done(nydusd(&["umount"]).arg(at));
        }
        wait(|| node.ls().lines().count() == 1, "their end");
        assert_eq!(differences(&tree, &node.at(), Leave::default()), Vec::<String>::new());
        node.umount();
        assert_eq!(node.ls(), "");
    }
}

#[test]
fn asked_to_end_it_serves_who_is_still_there() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let layout = many_files(&node, "image", 1, 10);
        node.mount(&layout, &[]);
        let open = fs::File::open(node.at().join("0/file-3")).unwrap();
        let mut served = node.served();
        let pid = Pid::from_child(&served);
        // A terminal that goes away takes no mounts with it.
        kill_process(pid, Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(fs::read(node.at().join("0/file-4")).unwrap(), b"image 4", "{driver}");
        kill_process(pid, Signal::TERM).unwrap();
        wait(|| !node.at().join("0").exists(), "the unmount");
        assert_eq!(std::io::read_to_string(&open).unwrap(), "image 3", "{driver}");
        assert!(served.try_wait().unwrap().is_none(), "{driver}: it ended before its reader");
        drop(open);
        assert!(served.wait().unwrap().success(), "{driver}");
    }
}

#[test]
fn a_mount_that_cannot_be_leaves_the_others_alone() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("auto");
    let layout = many_files(&node, "image", 1, 10);
    node.mount(&layout, &[]);
    let refused = |image: &Path, at: &Path| {
        let mut command = nydusd(&["mount", "--cache-dir"]);
        let output = command.arg(node.path("cache")).arg(image).arg(at).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(
        refused(Path::new("oci:/no/such"), &layout.join("index.json")).contains("is no folder")
    );
    fs::create_dir(node.path("other")).unwrap();
    let said = refused(Path::new("oci:/no/such"), &node.path("other"));
    assert!(said.contains("is no OCI layout"), "{said}");
    assert_eq!(node.ls().lines().count(), 1);
    assert_eq!(fs::read(node.at().join("0/file-1")).unwrap(), b"image 1");
    node.umount();
}

/// How often is mounted and unmounted: in `make soak` often.
const ROUNDS: u64 = if cfg!(feature = "soak") { 1000 } else { 20 };

#[test]
fn mounting_and_unmounting_leaves_nothing_behind() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let layout = many_files(&node, "image", 2, 10);
        node.mount(&layout, &[]);
        let (pid, at) = (node.pid(), node.path("again"));
        fs::create_dir(&at).unwrap();
        let facts = || {
            let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
            let mounted = nydusd::mounts::all().unwrap();
            let here = mounted.iter().filter(|mount| mount.at.starts_with(node.folder.path()));
            (count("fd"), count("task"), here.count())
        };
        let once = || {
            node.mount_too(&layout, &at);
            assert_eq!(fs::read(at.join("1/file-1")).unwrap(), b"image 1");
            done(nydusd(&["umount"]).arg(&at));
            wait(|| node.ls().lines().count() == 1, "the unmount");
        };
        // The first rounds fill what is kept for the next.
        (0..5).for_each(|_| once());
        // Threads that waited for chunks end by themselves.
        wait(|| facts().1 <= 20, "idle threads' end");
        let (before, memory) = (facts(), anonymous(pid));
        (0..ROUNDS).for_each(|_| once());
        wait(|| facts() <= before, "the end of descriptors, threads and mounts");
        let more = anonymous(pid).saturating_sub(memory);
        eprintln!("{driver}: {more} KiB of anonymous memory more after {ROUNDS} mounts");
        assert!(more < 1024 + ROUNDS * 4, "{driver}: {more} KiB");
        assert_eq!(fs::read_dir(node.path("cache/mounts")).unwrap().count(), 1, "{driver}");
        // One image's bootstrap, and its record.
        let left = fs::read_dir(node.path("cache/metadata")).unwrap().count();
        assert_eq!(left, 2, "{driver}");
        node.umount();
    }
}

#[test]
#[cfg(feature = "soak")]
fn who_is_in_use_beyond_the_grace_time_is_named() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let layout = many_files(&node, "image", 1, 10);
        node.serve(&[]);
        node.mount_too(&layout, &node.at());
        let open = fs::File::open(node.at().join("0/file-3")).unwrap();
        node.terminate();
        assert_eq!(node.served().wait().unwrap().code(), Some(1), "{driver}");
        drop(open);
        // It comes back all the same.
        node.serve(&[]);
        assert_eq!(fs::read(node.at().join("0/file-4")).unwrap(), b"image 4", "{driver}");
        node.umount_at(&node.at());
        node.end();
    }
}

#[test]
fn a_mount_ordered_while_the_last_one_ends_is_served() {
    if !can_mount() {
        return;
    }
    let node = Node::new("auto");
    let layout = many_files(&node, "image", 1, 10);
    for round in 0..20 {
        let said = node.mount_and_return(&layout, &[]);
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success(), "round {round}: {told}");
        assert_eq!(fs::read(node.at().join("0/file-1")).unwrap(), b"image 1", "round {round}");
        node.umount_at(&node.at());
        // The process sees that a little later, and ends: at another moment each round.
        std::thread::sleep(std::time::Duration::from_millis(round * 12));
    }
}

#[test]
fn many_mounts_find_descriptors_or_are_told_that_there_are_none() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let layout = many_files(&node, "image", 1, 10);
        let at = node.places(40);
        let reads = |at: &Path| fs::read(at.join("0/file-1")).is_ok_and(|read| read == b"image 1");
        // As systemd has it: few at first, and as many as one likes.
        node.serve_by(&mut limited(&node.serve_command(), "-Sn 128"));
        at.iter().for_each(|at| node.mount_too(&layout, at));
        assert!(at.iter().all(|at| reads(at)), "{driver}");
        node.end();
        // Where there are no more, some come back, and the others say why not.
        node.serve_by(&mut limited(&node.serve_command(), "-n 128"));
        let told = node.ls();
        assert_eq!(told.lines().count(), 40, "{driver}: {told}");
        let (back, not): (Vec<_>, Vec<_>) =
            told.lines().partition(|line| line.ends_with("bytes fetched"));
        assert!(back.len() > 5 && not.len() > 5, "{driver}: {told}");
        assert!(not.iter().all(|line| line.contains("LimitNOFILE")), "{driver}: {told}");
        assert_eq!(at.iter().filter(|at| reads(at)).count(), back.len(), "{driver}");
        // Where some go there is room for one, if nobody waits for it.
        let place = |line: &&str| Path::new(line.split('\t').next().unwrap()).to_owned();
        let gone: Vec<_> = not.iter().chain(&back[..4]).map(place).collect();
        gone.iter().for_each(|at| node.umount_at(at));
        wait(|| node.ls().lines().count() == back.len() - 4, "their end");
        let gone = &gone[0];
        node.mount_too(&layout, gone);
        assert!(reads(gone), "{driver}");
        node.end();
    }
}
