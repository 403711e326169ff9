//! The API that nydus-snapshotter asks: the shapes of answers, and what is no question.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use support::rig::{Rig, shape};
use support::{can_mount, drivers, wait};

#[test]
fn answers_have_the_shapes_that_the_snapshotter_reads() {
    if !can_mount() {
        return;
    }
    let rig = Rig::dedicated("auto");
    rig.shows(&rig.daemon.at());
    let shown = |target: &str| {
        let answer = rig.daemon.get(target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        shape(&answer.body)
    };
    let (eight, calls) = (vec!["number"; 8], vec!["number"; 15]);
    let version = json!({
        "package_ver": "string", "git_commit": "string", "build_time": "string",
        "profile": "string", "rustc": "string",
    });
    let config = json!({ "scheme": "string", "host": "string", "repo": "string" });
    let backend = json!({
        "backend_type": "string", "mountpoint": "string", "mounted_time": "string",
        "config": config,
    });
    let daemon = json!({
        "version": version, "id": "null", "supervisor": "null", "state": "string",
        "backend_collection": { "/": backend },
    });
    assert_eq!(shown("/api/v1/daemon"), daemon);
    let reads = json!({
        "files_account_enabled": "bool", "access_pattern_enabled": "bool",
        "record_latest_read_files_enabled": "bool", "measure_latency": "bool", "id": "string",
        "nr_opens": "number", "data_read": "number", "block_count_read": eight,
        "fop_hits": calls, "fop_errors": calls, "fop_cumulative_latency_total": calls,
        "read_latency_dist": eight,
    });
    assert_eq!(shown("/api/v1/metrics"), reads);
    assert_eq!(shown("/api/v1/metrics?id=%2F"), reads);
    let cache = json!({
        "id": "string", "underlying_files": ["string"], "store_path": "string",
        "partial_hits": "number", "whole_hits": "number", "total": "number",
        "entries_count": "number", "prefetch_data_amount": "number",
        "prefetch_requests_count": "number", "prefetch_workers": "number",
        "prefetch_unmerged_chunks": "number", "prefetch_cumulative_time_millis": "number",
        "prefetch_begin_time_secs": "number", "prefetch_begin_time_millis": "number",
        "prefetch_end_time_secs": "number", "prefetch_end_time_millis": "number",
        "buffered_backend_size": "number", "data_all_ready": "bool",
    });
    assert_eq!(shown("/api/v1/metrics/blobcache"), cache);
    let registry = json!({
        "id": "string", "backend_type": "string", "read_count": "number",
        "read_errors": "number", "read_amount_total": "number",
        "read_cumulative_latency_millis_total": "number",
        "read_cumulative_latency_millis_dist": eight, "read_count_block_size_dist": eight,
        "read_latency_sizes_dist": vec![eight.clone(); 8],
    });
    assert_eq!(shown("/api/v1/metrics/backend"), registry);
    assert_eq!(rig.daemon.get("/api/v1/metrics/inflight").status, 204);
}

#[test]
fn the_superblock_is_told_and_what_nobody_wants_counted_is_empty() {
    if !can_mount() {
        return;
    }
    let rig = Rig::dedicated("auto");
    let time = json!({ "secs": "number", "nanos": "number" });
    let superblock = shape(&rig.daemon.get("/api/v1/daemon/backend?mountpoint=%2F").body);
    assert_eq!(superblock["flags"], json!({ "bits": "number" }));
    assert_eq!((&superblock["attr_timeout"], &superblock["entry_timeout"]), (&time, &time));
    for number in ["magic", "version", "chunk_size", "inodes_count", "root_nid", "meta_blkaddr"] {
        assert_eq!(superblock[number], "number", "{number}");
    }
    assert_eq!(rig.daemon.get("/api/v1/metrics/files").body, json!({}));
    assert_eq!(rig.daemon.get("/api/v1/metrics/files?latest=true").body, json!([]));
    assert_eq!(rig.daemon.get("/api/v1/metrics/pattern?id=%2F").body, json!([]));
}

#[test]
fn what_went_wrong_is_told() {
    if !can_mount() {
        return;
    }
    let rig = Rig::shared("auto");
    let events = || rig.daemon.get("/api/v1/daemon/events");
    let expected = json!({
        "max_errors": "number", "total_errors": "number", "max_size": "number",
        "total_size": "number", "errors": [],
    });
    assert_eq!((events().status, shape(&events().body)), (200, expected));
    let nowhere = rig.daemon.path("no/such/bootstrap");
    assert_eq!(rig.daemon.mount("/bad", &nowhere, &rig.config).status, 500);
    let told = events().body;
    let errors = told["errors"].as_array().unwrap();
    assert_eq!(told["total_errors"], errors.len());
    let line = errors.last().unwrap().as_str().unwrap();
    assert!(line.contains("not mounted") && line.contains("/bad"), "{line}");
}

#[test]
fn reads_are_counted_and_those_that_wait_are_seen() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let rig = Rig::dedicated(driver);
        rig.registry.stalls.store(true, Ordering::SeqCst);
        let file = rig.daemon.at().join("a/big");
        let reader = std::thread::spawn(move || fs::read(file).unwrap());
        let inflight = || rig.daemon.get("/api/v1/metrics/inflight");
        wait(|| inflight().status == 200, "a read that waits");
        let shown = shape(&inflight().body);
        let one = json!({
            "inode": "number", "opcode": "number", "unique": "number", "timestamp_secs": "number",
        });
        assert!(shown.as_array().unwrap().iter().all(|shown| *shown == one), "{shown}");
        rig.registry.stalls.store(false, Ordering::SeqCst);
        assert!(reader.join().unwrap() == fs::read(rig.tree.join("a/big")).unwrap());
        wait(|| inflight().status == 204, "the end of all reads");
        let metrics = rig.daemon.get("/api/v1/metrics").body;
        let length = fs::metadata(rig.tree.join("a/big")).unwrap().len();
        assert!(metrics["data_read"].as_u64().unwrap() >= length, "{driver}: {metrics}");
        assert!(metrics["fop_hits"][4].as_u64().unwrap() > 0, "{driver}: {metrics}");
        let shown = rig.daemon.text("/metrics");
        assert!(shown.contains(&format!("nydusd_mounts{{driver=\"{driver}\"}} 1")), "{shown}");
    }
}

#[test]
fn a_silent_connection_ends_with_the_daemon_only() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::shared("auto");
    let mut silent = UnixStream::connect(rig.daemon.socket()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(rig.mount("/1"), 204);
    let still = silent.read(&mut [0]).unwrap_err();
    assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock, "it was closed");
    rig.daemon.kill();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn credentials_that_expire_are_renewed_under_a_running_mount() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::new("fuse");
    *rig.registry.wants.lock().unwrap() = Some("Basic b2xkOm9sZA==".to_owned());
    rig.config["device"]["backend"]["config"]["auth"] = json!("b2xkOm9sZA==");
    rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
    let same = |name: &str| {
        let read = fs::read(rig.daemon.at().join(name));
        read.is_ok_and(|read| read == fs::read(rig.tree.join(name)).unwrap())
    };
    assert!(same("chunk"));
    *rig.registry.wants.lock().unwrap() = Some("Basic bmV3Om5ldw==".to_owned());
    assert!(!same("a/big"), "nobody gave it");
    let renew = |auth: &str| {
        let body = json!({ "registry_auth": auth }).to_string();
        rig.daemon.ask("PUT", "/api/v1/config?id=%2F", &body).status
    };
    assert_eq!(renew("no base64"), 400);
    assert_eq!(renew("bmV3Om5ldw=="), 204);
    assert!(same("a/big"), "the new credentials are not used");
    let told = format!("{:?}{}", rig.daemon.get("/api/v1/daemon").body, rig.daemon.log());
    assert!(!told.contains("bmV3Om5ldw==") && !told.contains("b2xkOm9sZA=="), "{told}");
    // Nor does the disk know them.
    let mut search = Command::new("grep");
    search.args(["-rlaE", "b2xkOm9sZA|bmV3Om5ldw|old:old|new:new"]).arg(rig.daemon.path("cache"));
    let found = search.output().unwrap();
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn what_is_no_question_changes_nothing() {
    if !can_mount() {
        return;
    }
    let rig = Rig::shared("auto");
    assert_eq!(rig.mount("/good"), 204);
    let refused = |method: &str, target: &str, body: &str| {
        let answer = rig.daemon.ask(method, target, body);
        let shown = shape(&answer.body);
        assert_eq!(shown, json!({ "code": "string", "message": "string" }), "{target}");
        answer.status
    };
    for id in ["", "/", "/..", "..", "/a/b", "/a/../b", "/./a", "%2F%2E%2E%2Fa"] {
        let body = json!({ "source": rig.bootstrap, "config": rig.config.to_string() });
        let target = format!("/api/v1/mount?mountpoint={id}");
        assert_eq!(refused("POST", &target, &body.to_string()), 400, "{id}");
    }
    let mount = "/api/v1/mount?mountpoint=/bad";
    let asked = |source: &str, config: &str| json!({ "source": source, "config": config });
    let (nowhere, config) = ("/no/such/bootstrap", rig.config.to_string());
    let junk = rig.daemon.path("junk");
    fs::write(&junk, vec![7; 10_000]).unwrap();
    assert_eq!(refused("POST", mount, &asked(nowhere, &config).to_string()), 500);
    assert_eq!(refused("POST", mount, &asked(junk.to_str().unwrap(), &config).to_string()), 500);
    assert_eq!(refused("POST", mount, &asked("\0", &config).to_string()), 500);
    assert_eq!(refused("POST", mount, &asked(nowhere, "{").to_string()), 500);
    assert_eq!(refused("POST", mount, "{\"source\":"), 400);
    assert_eq!(refused("POST", mount, &"[".repeat(1 << 20)), 400);
    assert_eq!(refused("POST", mount, &" ".repeat(9 << 20)), 400);
    assert_eq!(
        refused("PUT", "/api/v1/mount?mountpoint=/good", &asked(nowhere, "{").to_string()),
        400
    );
    assert_eq!(refused("GET", "/api/v1/metrics?id=/bad", ""), 404);
    for numbers in ["files?", "files?latest=true&", "pattern?", "blobcache?", "backend?"] {
        assert_eq!(refused("GET", &format!("/api/v1/metrics/{numbers}id=/bad"), ""), 404);
    }
    assert_eq!(refused("PUT", "/api/v1/daemon/backend", "{}"), 400);
    for unsupported in ["sendfd", "takeover", "resend"] {
        assert_eq!(refused("PUT", &format!("/api/v1/daemon/fuse/{unsupported}"), ""), 501);
    }
    assert_eq!(refused("GET", "/api/v1/daemon/backend?mountpoint=/bad", ""), 404);
    assert_eq!(refused("PUT", "/api/v1/config?id=/bad", "{}"), 404);
    assert_eq!(refused("GET", "/api/v9/daemon", ""), 404);
    assert_eq!(refused("PUT", "/api/v1/daemon", r#"{"log_level":"info,nydusd=loud"}"#), 400);
    assert_eq!(rig.daemon.ask("PUT", "/api/v1/daemon", r#"{"log_level":"debug"}"#).status, 204);
    for garbage in [&b"\0\xff\x16\x03\x01"[..], b"GET /\r\n\r\n", b"\r\n\r\n\r\n", &[b'A'; 1 << 20]]
    {
        assert!([0, 400, 414, 431].contains(&rig.daemon.say(garbage).status));
    }
    // A head whose body never comes.
    let head =
        "POST /api/v1/mount?mountpoint=/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{";
    let _ = rig.daemon.say(head.as_bytes());
    assert_eq!(rig.daemon.state(), "RUNNING");
    rig.shows(&rig.daemon.at().join("good"));
    assert_eq!(fs::read_dir(rig.daemon.at()).unwrap().count(), 1, "folders are left");
}
