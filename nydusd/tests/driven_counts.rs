//! What nydus-snapshotter is told of what the kernel asks and of what comes before it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};
use support::rig::{Rig, shape};
use support::{can_mount, drivers, wait};

/// Asks for everything that can be asked of a tree.
fn exercise(at: &Path) {
    assert_eq!(fs::read_dir(at.join("many")).unwrap().count(), 700);
    assert_eq!(fs::read_link(at.join("dangling")).unwrap(), Path::new("nowhere"));
    assert!(!at.join("missing").exists());
    assert!(fs::read(at.join("a/big")).unwrap().len() > 5_000_000);
    rustix::fs::statfs(at).unwrap();
    let mut value = [0; 100];
    assert!(rustix::fs::getxattr(at.join("one"), "user.note", &mut value[..]).unwrap() > 0);
    assert!(rustix::fs::getxattr(at.join("one"), "user.none", &mut value[..]).is_err());
    assert!(rustix::fs::listxattr(at.join("one"), &mut value[..]).unwrap() > 0);
}

#[test]
fn questions_are_counted_by_their_kind() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let rig = Rig::dedicated(driver);
        exercise(&rig.daemon.at());
        let metrics = rig.daemon.get("/api/v1/metrics").body;
        let of = |list: &str, kind: usize| metrics[list][kind].as_u64().unwrap();
        assert!(of("fop_hits", 4) > 0, "{driver}: {metrics}");
        let others = [1, 5, 6, 7, 9].map(|kind| of("fop_hits", kind));
        let listed = of("fop_hits", 10) + of("fop_hits", 11);
        if driver == "fuse" {
            assert!(others.iter().all(|hits| *hits > 0) && listed > 0, "{metrics}");
            assert!(of("fop_errors", 6) > 0, "there is no such attribute: {metrics}");
        } else {
            // The kernel knows all that by itself.
            assert_eq!((others, listed), ([0; 5], 0), "{metrics}");
        }
        assert_eq!((of("fop_errors", 4), of("fop_errors", 9)), (0, 0), "{driver}: {metrics}");
    }
}

#[test]
fn files_are_counted_where_the_configuration_says_so() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::new("auto");
    for key in ["iostats_files", "access_pattern", "latest_read_files"] {
        rig.config[key] = json!(true);
    }
    rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
    // Files are known by FUSE only.
    let shown = rig.daemon.text("/metrics");
    assert!(shown.contains("nydusd_mounts{driver=\"fuse\"} 1"), "{shown}");
    let get = |what: &str| rig.daemon.get(&format!("/api/v1/metrics{what}")).body;
    assert_eq!((get("/files"), get("/pattern")), (json!({}), json!([])));
    let file = rig.daemon.at().join("a/big");
    let (length, number) = (fs::read(&file).unwrap().len(), file.metadata().unwrap().ino());
    let files = get("/files");
    let (eight, calls) = (vec!["number"; 8], vec!["number"; 15]);
    let one = json!({
        "nr_open": "number", "nr_max_open": "number", "total_fops": "number",
        "data_read": "number", "block_count_read": eight, "fop_hits": calls,
        "fop_errors": calls,
    });
    assert_eq!(shape(&files), json!({ number.to_string(): one }));
    assert!(files[number.to_string()]["data_read"].as_u64().unwrap() >= length as u64);
    let pattern = get("/pattern");
    let one = json!({
        "ino": "number", "nr_read": "number", "first_access_time_secs": "number",
        "first_access_time_nanos": "number",
    });
    assert_eq!(shape(&pattern), json!([one]));
    assert_eq!(pattern[0]["ino"], number);
    assert_eq!(get("/files?latest=true"), json!([[number]]));
    assert_eq!(get("/files?latest=true"), json!([]), "nothing since");
    let told = get("");
    for key in
        ["files_account_enabled", "access_pattern_enabled", "record_latest_read_files_enabled"]
    {
        assert_eq!(told[key], true, "{key} {told}");
    }
}

/// Waits until prefetching has ended; what is told of it.
fn prefetched(rig: &Rig, id: &str) -> Value {
    let cache = || rig.daemon.get(&format!("/api/v1/metrics/blobcache?id={id}")).body;
    wait(|| cache()["prefetch_end_time_secs"] != 0, "the end of prefetching");
    cache()
}

/// Asks for a mount of which these files are to be fetched first.
fn mount(rig: &Rig, id: &str, first: &Value) -> u16 {
    let config = rig.config.to_string();
    let asked = json!({ "source": rig.bootstrap, "config": config, "prefetch_files": first });
    let target = format!("/api/v1/mount?mountpoint={id}");
    rig.daemon.ask("POST", &target, &asked.to_string()).status
}

/// Whether a file, which must be right, was here already.
fn was_here(rig: &Rig, id: &str, name: &str) -> bool {
    let before = rig.registry.parts();
    let found = fs::read(rig.daemon.at().join(id).join(name)).unwrap();
    assert!(found == fs::read(rig.tree.join(name)).unwrap(), "{name}");
    rig.registry.parts() == before
}

#[test]
fn what_the_snapshotter_names_is_fetched_and_told() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::new(driver);
        rig.config["fs_prefetch"] = json!({ "enable": true, "prefetch_all": false });
        rig.daemon.start_shared();
        let list = ["/none", "", "a/link/x", "/dangling", "pipe", "a/../../a/link"];
        assert_eq!(mount(&rig, "/1", &json!(list)), 204);
        let told = prefetched(&rig, "/1");
        let number = |name: &str| told[name].as_u64().unwrap();
        assert!(number("prefetch_data_amount") > 0, "{told}");
        assert!((1..10).contains(&number("prefetch_requests_count")), "{told}");
        assert!(number("prefetch_begin_time_secs") > 1_500_000_000, "{told}");
        assert_eq!(number("prefetch_workers"), 0, "it has ended: {told}");
        let shown = rig.daemon.text("/metrics");
        let has = |line: &str| shown.lines().any(|shown| shown.contains(line));
        // Five chunks: `a/big`, to which a link leads.
        assert!(has("nydusd_prefetched_chunks_total 5"), "{shown}");
        assert!(has("nydusd_prefetched_bytes_total 5000123"), "{shown}");
        assert!(has("nydusd_prefetch_left_chunks 0"), "{shown}");
        assert!(was_here(&rig, "1", "a/big"), "{driver}");
        assert!(!was_here(&rig, "1", "chunk"), "{driver}: nobody has named it");
    }
}

#[test]
fn no_list_of_the_snapshotters_does_harm() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::new("auto");
    rig.config["fs_prefetch"] = json!({ "enable": true, "prefetch_all": false });
    rig.daemon.start_shared();
    for (id, none) in [("/a", json!(7)), ("/b", json!("chunk")), ("/c", json!([["chunk"]]))] {
        assert_eq!(mount(&rig, id, &none), 400);
    }
    let many: Vec<_> = (0..50_000).map(|number| format!("/no/{number}/../../such")).collect();
    assert_eq!(mount(&rig, "/many", &json!(many)), 204);
    assert_eq!(prefetched(&rig, "/many")["prefetch_data_amount"], 0);
    assert_eq!(mount(&rig, "/null", &Value::Null), 204);
    // All of it, many times.
    assert_eq!(mount(&rig, "/all", &json!(vec!["/"; 2000])), 204);
    prefetched(&rig, "/all");
    assert!(was_here(&rig, "all", "chunk"));
    rig.shows(&rig.daemon.at().join("many"));
    // Where nothing is to be prefetched, nothing is.
    rig.config["fs_prefetch"] = json!({ "enable": false });
    let before = rig.registry.parts();
    assert_eq!(mount(&rig, "/off", &json!(["/chunk"])), 204);
    let told = rig.daemon.get("/api/v1/metrics/blobcache?id=/off").body;
    assert_eq!((&told["prefetch_begin_time_secs"], rig.registry.parts()), (&json!(0), before));
}

#[test]
fn a_dedicated_daemon_has_the_list_in_a_file() {
    if !can_mount() {
        return;
    }
    // A list as nobody should write it, and what is no list at all.
    for is_list in [true, false] {
        let mut rig = Rig::new("auto");
        rig.config["fs_prefetch"] = json!({ "enable": true, "prefetch_all": false });
        let path = rig.daemon.path("list");
        if is_list {
            fs::write(&path, b"/no/such\n\n\xff\xfe\n../../chunk\r\nchunk").unwrap();
        } else {
            fs::create_dir(&path).unwrap();
        }
        fs::write(rig.daemon.path("config.json"), rig.config.to_string()).unwrap();
        let mut command = rig.daemon.command(&["fuse"]);
        command.arg("--config").arg(rig.daemon.path("config.json"));
        command.arg("--bootstrap").arg(&rig.bootstrap).arg("--prefetch-files").arg(&path);
        rig.daemon.start(command);
        prefetched(&rig, "/");
        assert_eq!(was_here(&rig, "", "chunk"), is_list, "{}", rig.daemon.log());
    }
}
