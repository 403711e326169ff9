//! What a process tells of its mounts: `nydusd stats`, and metrics for Prometheus.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::Value;
use support::server::dfdaemon;
use support::trees::many_files;
use support::{Node, can_mount, drivers, nydusd, wait, with_registry};

/// What is answered to a GET of `path`: the status line's code, and all of it.
fn get(mut stream: impl Read + Write, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn metrics(node: &Node) -> String {
    let stream = UnixStream::connect(node.path("cache/nydusd.sock")).unwrap();
    let (status, text) = get(stream, "/metrics");
    assert_eq!(status, 200);
    text
}

/// The value of one metric, labels and all.
fn value(text: &str, name: &str) -> f64 {
    let name = format!("meganeura_nydusd_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn reads_and_chunks_are_counted_and_told() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        node.serve(&["--cache-size", "1GiB"]);
        node.mount_too(Path::new(&name), &node.at());
        let before = node.stats_json();
        assert_eq!(before["reads"]["bytes"], 0, "{driver}: {before}");
        assert_eq!((&before["driver"], &before["image"]), (&driver.into(), &name.as_str().into()));
        assert!(before["manifest"].as_str().unwrap().starts_with("sha256:"));
        let big = fs::read(node.at().join("a/big")).unwrap();
        assert!(big == fs::read(tree.join("a/big")).unwrap());
        let told = node.stats_json();
        let number = |told: &Value, of: &str, what: &str| told[of][what].as_u64().unwrap();
        assert!(number(&told, "reads", "bytes") >= 5_000_123, "{driver}: {told}");
        assert!(number(&told, "reads", "waited") >= 1, "{driver}: {told}");
        let waited = number(&told, "reads", "waited_microseconds");
        assert!(waited > 0 && number(&told, "reads", "longest_microseconds") <= waited);
        assert!(number(&told, "chunks", "fetched") >= 5, "{driver}: {told}");
        assert!(number(&told, "chunks", "held") >= 5_000_123, "{driver}: {told}");
        assert_eq!(number(&told, "reads", "waiting"), 0, "{driver}");

        let text = metrics(&node);
        assert!(value(&text, "fetched_bytes_total{source=\"dfdaemon\"}") > 100_000.0, "{text}");
        assert_eq!(value(&text, "fetched_bytes_total{source=\"registry\"}"), 0.0);
        assert_eq!(value(&text, &format!("mounts{{driver=\"{driver}\"}}")), 1.0);
        assert_eq!(value(&text, "cache_quota_bytes"), f64::from(1 << 30));
        assert!(value(&text, "cache_held_bytes") >= 5_000_123.0);
        assert!(value(&text, "read_bytes_total") >= 5_000_123.0);
        assert!(value(&text, "read_seconds_count{answer=\"waited\"}") >= 1.0);
        assert_eq!((value(&text, "reads_waiting"), value(&text, "mounts_pending")), (0.0, 0.0));

        // With nobody there, a read fails, and is counted too.
        daemon.down.store(true, Ordering::SeqCst);
        registry.down.store(true, Ordering::SeqCst);
        fs::read(node.at().join("chunk")).unwrap_err();
        assert!(number(&node.stats_json(), "reads", "failed") >= 1, "{driver}");
        registry.down.store(false, Ordering::SeqCst);
        fs::read(node.at().join("chunk")).unwrap();
        assert!(value(&metrics(&node), "fetched_bytes_total{source=\"registry\"}") > 0.0);

        // For people; and what is not mounted is told as such.
        let mut command = nydusd(&["stats", "--cache-dir"]);
        let output = command.arg(node.path("cache")).arg(node.at()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&name) && said.contains("waited for chunks"), "{said}");
        let fetched = value(&metrics(&node), "chunks_fetched_total");
        node.umount_at(&node.at());
        wait(
            || value(&metrics(&node), &format!("mounts{{driver=\"{driver}\"}}")) == 0.0,
            "0 mounts",
        );
        assert!(value(&metrics(&node), "chunks_fetched_total") >= fetched, "it never falls");
        let mut command = nydusd(&["stats", "--cache-dir"]);
        let output = command.arg(node.path("cache")).arg(node.at()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        node.end();
    }
}

#[test]
fn an_address_answers_as_every_daemon_s() {
    if !can_mount() {
        return;
    }
    let mut node = Node::new("auto");
    let address = format!("127.0.0.1:{}", testbed::ports::free());
    node.serve(&["--metrics", &address]);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (status, text) = get(TcpStream::connect(&address).unwrap(), path);
        assert_eq!(status, 200, "{text}");
    }
    let (status, _) = get(TcpStream::connect(&address).unwrap(), "/v1/mounts");
    assert_eq!(status, 404, "orders come by the socket alone");
    // An address that is taken: told, and not served without.
    let mut second = Node::new("auto").serve_command();
    let output = second.args(["--metrics", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen on"));
    node.end();
}

#[test]
fn what_a_process_left_is_told_when_it_is_gone() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut node = Node::new(driver);
        let image = many_files(&node, "image", 1, 10);
        assert_eq!(node.ls(), "", "{driver}");
        assert!(!node.path("cache").exists(), "{driver}: who looks makes nothing");
        let at = node.places(2);
        node.serve(&[]);
        at.iter().for_each(|at| node.mount_too(&image, at));
        node.kill();
        let told = node.ls();
        assert_eq!(told.matches("nobody serves it: ").count(), 2, "{driver}: {told}");
        assert_eq!(told.matches("or `nydusd mount`").count(), 2, "{driver}: {told}");
        assert!(node.ls_json()["failed"].is_string());
        node.serve(&[]);
        node.end();
        let told = node.ls();
        assert_eq!(told.matches("has ended: `nydusd serve`").count(), 2, "{driver}: {told}");
        // What cannot be asked is another thing.
        fs::write(node.path("file"), "").unwrap();
        let asked = nydusd(&["ls", "--cache-dir"]).arg(node.path("file")).output().unwrap();
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(asked.status.code() == Some(1) && said.contains("cannot be asked"), "{said}");
    }
}
