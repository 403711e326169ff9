//! As nydus-snapshotter drives it: flags, states, answers, and what is no question.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use support::driven::{Driven, unpacked, with_registry};
use support::same::{Leave, differences};
use support::server::{Behaviour, registry};
use support::trees::{directory, packed};
use support::{can_mount, drivers, wait};

/// A daemon that is not started yet, with an image: its tree, its bootstrap, its configuration, the
/// registry that has its blobs.
struct Rig {
    daemon: Driven,
    tree: PathBuf,
    bootstrap: PathBuf,
    config: Value,
    registry: Arc<Behaviour>,
}

impl Rig {
    fn new(driver: &'static str) -> Self {
        let daemon = Driven::new(driver);
        let (tree, layout) = (daemon.path("tree"), daemon.path("layout"));
        directory(&tree);
        packed(&tree, &layout);
        let bootstrap = unpacked(&layout, &daemon.path("snapshot"));
        let (address, registry) = registry(&layout);
        let config = with_registry(&address.to_string(), &daemon.path("cache"));
        Self { daemon, tree, bootstrap, config, registry }
    }

    fn dedicated(driver: &'static str) -> Self {
        let mut rig = Self::new(driver);
        rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
        rig
    }

    fn shared(driver: &'static str) -> Self {
        let mut rig = Self::new(driver);
        rig.daemon.start_shared();
        rig
    }

    fn mount(&self, id: &str) -> u16 {
        self.daemon.mount(id, &self.bootstrap, &self.config).status
    }

    /// Whether what is mounted at `at` is the whole tree.
    fn shows(&self, at: &Path) {
        assert_eq!(differences(&self.tree, at, Leave::default()), Vec::<String>::new());
    }
}

/// A value with its scalars replaced by their kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), shape(value))).collect()
        }
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
    }
}

#[test]
fn one_image_is_served_from_the_start_to_the_end() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::dedicated(driver);
        rig.shows(&rig.daemon.at());
        assert!(rig.registry.parts() > 0);
        let log = rig.daemon.log();
        assert!(log.contains("nothing vouches for"), "{log}");
        assert!(log.contains("`validate: false` changes nothing"), "{log}");
        let other = rig.mount("/other");
        assert_eq!(other, 400, "{driver}: it serves one image");
        assert_eq!(rig.daemon.ask("PUT", "/api/v1/daemon/exit", "").status, 204);
        assert!(rig.daemon.ended(), "{driver}");
        assert!(!rig.daemon.at().join("one").exists() && !rig.daemon.socket().exists());
    }
}

#[test]
fn options_without_a_command_are_those_of_fuse() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::new("auto");
    fs::write(rig.daemon.path("config.json"), rig.config.to_string()).unwrap();
    let mut command = rig.daemon.command(&[]);
    command.arg("--config").arg(rig.daemon.path("config.json"));
    command.arg("--bootstrap").arg(&rig.bootstrap);
    rig.daemon.start(command);
    rig.shows(&rig.daemon.at());
}

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
    assert_eq!(rig.daemon.get("/api/v1/daemon/events").status, 204);
}

#[test]
fn many_images_come_and_go() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::shared(driver);
        assert_eq!((rig.mount("/7"), rig.mount("/8")), (204, 204));
        let at = rig.daemon.at();
        rig.shows(&at.join("7"));
        rig.shows(&at.join("8"));
        assert_eq!(rig.mount("/7"), 400, "{driver}: it is there already");
        let told = rig.daemon.get("/api/v1/daemon").body["backend_collection"].clone();
        assert!(told["/7"].is_object() && told["/8"].is_object(), "{told}");
        assert_eq!(rig.daemon.get("/api/v1/metrics").status, 404, "which?");
        assert_eq!(rig.daemon.get("/api/v1/metrics?id=/8").body["id"], "/8");
        // Another one in its place; who reads the old one goes on.
        let open = fs::File::open(at.join("7/a/big")).unwrap();
        let again = json!({ "source": rig.bootstrap, "config": rig.config.to_string() });
        let target = "/api/v1/mount?mountpoint=%2F7";
        assert_eq!(rig.daemon.ask("PUT", target, &again.to_string()).status, 204);
        rig.shows(&at.join("7"));
        let big = fs::read(rig.tree.join("a/big")).unwrap();
        let mut read = Vec::new();
        (&open).read_to_end(&mut read).unwrap();
        assert!(read == big, "{driver}");
        drop(open);
        for id in ["%2F7", "%2F8"] {
            let target = format!("/api/v1/mount?mountpoint={id}");
            assert_eq!(rig.daemon.ask("DELETE", &target, "").status, 204);
            assert_eq!(rig.daemon.ask("DELETE", &target, "").status, 404);
        }
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "{driver}: their folders are left");
        assert_eq!(rig.daemon.state(), "RUNNING");
        assert_eq!(rig.daemon.ask("PUT", "/api/v1/daemon/exit", "").status, 204);
        assert!(rig.daemon.ended());
    }
}

#[test]
fn a_killed_daemons_mounts_come_back_with_their_cache() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::dedicated(driver);
        rig.shows(&rig.daemon.at());
        let fetched = rig.registry.bytes.load(Ordering::SeqCst);
        // Somebody stands on the mount, so that nobody can unmount it before.
        let open = fs::File::open(rig.daemon.at().join("a")).unwrap();
        rig.daemon.kill();
        rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
        rig.shows(&rig.daemon.at());
        assert_eq!(rig.registry.bytes.load(Ordering::SeqCst), fetched, "{driver}");
        drop(open);
    }
}

#[test]
fn what_a_killed_shared_daemon_left_is_taken_away() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::shared(driver);
        assert_eq!((rig.mount("/1"), rig.mount("/2")), (204, 204));
        rig.daemon.kill();
        rig.daemon.start_shared();
        assert_eq!(rig.mount("/2"), 204);
        rig.shows(&rig.daemon.at().join("2"));
        assert!(!rig.daemon.at().join("1/one").exists(), "{driver}: the other one is still there");
    }
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
    }
}

#[test]
fn processes_with_one_cache_folder_leave_each_other_alone() {
    if !can_mount() {
        return;
    }
    let mut one = Rig::dedicated("auto");
    let mut two = Driven::new("auto");
    two.start_dedicated(&one.bootstrap, &one.config);
    one.shows(&one.daemon.at());
    one.shows(&two.at());
    let before = one.registry.bytes.load(Ordering::SeqCst);
    // Killed at one time, each comes back to a cache that has the image.
    one.daemon.kill();
    two.kill();
    two.start_dedicated(&one.bootstrap, &one.config);
    one.daemon.start_dedicated(&one.bootstrap, &one.config);
    one.shows(&one.daemon.at());
    one.shows(&two.at());
    assert_eq!(one.registry.bytes.load(Ordering::SeqCst), before);
    let folders = fs::read_dir(one.daemon.path("cache")).unwrap();
    let left: Vec<_> = folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path().join("metadata")).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|file| file.to_string_lossy().ends_with(".credentials"))
        .collect();
    assert_eq!(left.len(), 2, "what killed processes knew is left: {left:?}");
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
}

#[test]
fn what_lies_beside_the_bootstrap_is_used_if_it_is_right() {
    if !can_mount() {
        return;
    }
    let rig = Rig::new("fuse");
    let folder = rig.bootstrap.parent().unwrap();
    let files = || fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let infos: Vec<_> = files().filter(|file| file.to_string_lossy().ends_with(".meta")).collect();
    assert!(!infos.is_empty());
    for info in infos {
        let length = fs::metadata(&info).unwrap().len();
        fs::write(&info, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    }
    let mut rig = rig;
    rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
    rig.shows(&rig.daemon.at());
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

#[test]
fn who_waits_for_an_upgrade_mounts_nothing() {
    if !can_mount() {
        return;
    }
    let mut rig = Rig::new("auto");
    let command = rig.daemon.command(&["fuse", "--upgrade", "--id", "x", "--supervisor", "/s"]);
    rig.daemon.start_until(command, "INIT");
    assert_eq!(rig.daemon.get("/api/v1/daemon").body["id"], "x");
    assert_eq!(rig.daemon.ask("PUT", "/api/v1/daemon/start", "").status, 400);
    assert_eq!(rig.mount("/1"), 503);
    for hand_over in ["sendfd", "takeover"] {
        let target = format!("/api/v1/daemon/fuse/{hand_over}");
        let answer = rig.daemon.ask("PUT", &target, "");
        assert_eq!(answer.status, 501);
        assert_eq!(shape(&answer.body), json!({ "code": "string", "message": "string" }));
    }
    assert_eq!(rig.daemon.ask("PUT", "/api/v1/daemon/exit", "").status, 204);
    assert!(rig.daemon.ended());
    // What cannot be mounted is no daemon.
    fs::write(rig.daemon.path("config.json"), "{}").unwrap();
    let mut command = rig.daemon.command(&["fuse", "--config"]);
    command.arg(rig.daemon.path("config.json")).arg("--bootstrap").arg(&rig.bootstrap);
    assert!(!command.status().unwrap().success());
    rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
}
