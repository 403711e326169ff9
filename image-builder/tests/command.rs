//! The program itself: what it prints, and how it exits.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod trees;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image_builder::opened::local::{self, BlobsAt};
use serde_json::Value;
use testbed::samples;
use trees::bootstrap;
use trees::layout::{self, Wrong};

fn run<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_image-builder")).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A sample as an OCI layout.
fn in_layout(wrong: Wrong) -> Option<(tempfile::TempDir, String, PathBuf)> {
    let sample = samples()?.join("lz4-sha256");
    let opened = local::open(&bootstrap(&sample), &BlobsAt::Guess).unwrap();
    let folder = tempfile::tempdir().unwrap();
    layout::write(folder.path(), &sample, &opened, wrong);
    let name = format!("oci:{}:v1", folder.path().display());
    Some((folder, name, sample))
}

#[test]
fn an_image_in_a_layout_is_checked() {
    let Some((folder, image, _)) = in_layout(Wrong::Nothing) else { return };
    let output = run(["check", &image, "--json"]);
    assert_eq!(json(&output)["problems"], serde_json::json!([]));
    assert_eq!(output.status.code(), Some(0));
    let summary = json(&run(["inspect", &image, "--json"]));
    assert_eq!(summary["merkle_root_in_manifest"], true);
    assert_eq!(summary["merkle_file"], true);
    // One bit of a blob or a layer, wherever it is.
    let blobs = fs::read_dir(folder.path().join("blobs/sha256")).unwrap();
    for blob in blobs.map(|blob| blob.unwrap().path()) {
        let good = fs::read(&blob).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&blob, &bad).unwrap();
            let output = run(["check", &image, "--json"]);
            assert_eq!(output.status.code(), Some(3), "{blob:?} {at}: {}", said(&output));
            assert_ne!(json(&output)["problems"], serde_json::json!([]));
        }
        fs::write(&blob, &good).unwrap();
    }
}

#[test]
fn what_stands_around_an_image_is_checked() {
    for (wrong, message) in [
        (Wrong::Root, "merkle root"),
        (Wrong::Unlisted, "no layer of the manifest"),
        (Wrong::DiffIds, "diff_ids"),
        (Wrong::Merkle, "merkle tree beside"),
    ] {
        let Some((_folder, image, _)) = in_layout(wrong) else { return };
        let output = run(["check", &image, "--json"]);
        let problems = json(&output)["problems"].to_string();
        assert!(problems.contains(message), "{problems}");
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn an_image_is_looked_into() {
    let Some((_folder, image, sample)) = in_layout(Wrong::Nothing) else { return };
    let listed = run(["ls", &image, "/usr/bin"]);
    assert_eq!(listed.stdout, b"tool\ntool-hardlink\ntool-link\n");
    let deep = run(["ls", "-R", &image, "/etc", "--json"]);
    let lines = String::from_utf8(deep.stdout).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(lines.lines().count() > 20);
    let bytes = run(["cat", &image, "usr/bin/tool-link"]).stdout;
    let stat = json(&run(["stat", &image, "/usr/bin/tool", "--json"]));
    assert_eq!(stat["size"], bytes.len());
    assert_eq!(stat["links"], 2);
    assert_eq!(stat["mode"], "4755");
    assert_eq!(stat["chunks"][0]["digest"], hex::encode(content_of(&bytes[..1 << 20])));
    // The image and the bare bootstrap are one.
    let diff = json(&run([OsStr::new("diff"), image.as_ref(), sample.as_ref(), "--json".as_ref()]));
    assert_eq!(diff["differences"], serde_json::json!([]));
    assert_eq!(diff["fetch"]["stored"], 0);
    assert_eq!(diff["root_a"], diff["root_b"]);
}

fn content_of(bytes: &[u8]) -> [u8; 32] {
    *content::Digest::of(bytes).as_bytes()
}

#[test]
fn a_proof_is_taken_by_who_has_the_root_alone() {
    let Some((folder, image, _)) = in_layout(Wrong::Nothing) else { return };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (proof, bytes) = (path("proof"), path("bytes"));
    let done = run(["prove", &image, "/usr/bin/tool", "-o", &proof]);
    assert!(done.status.success(), "{}", said(&done));
    fs::write(&bytes, run(["cat", &image, "/usr/bin/tool"]).stdout).unwrap();
    let root = json(&run(["inspect", &image, "--json"]))["merkle_root"].clone();
    let root = root.as_str().unwrap();
    let verify = |path: &str, content: &str| {
        run(["verify-proof", "--root", root, &proof, path, "--content", content, "--json"])
    };
    let good = verify("/usr/bin/tool", &bytes);
    assert_eq!((json(&good)["proven"].clone(), good.status.code()), (true.into(), Some(0)));
    assert_eq!(verify("/usr/bin/other", &bytes).status.code(), Some(3));
    assert_eq!(verify("/usr/bin/tool", &proof).status.code(), Some(3));
    assert_eq!(verify("/usr/bin/tool", "/nowhere").status.code(), Some(1));
}

#[test]
fn what_is_no_image_is_said_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("text"), "text").unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["ls", "oci:/nowhere"], "no OCI layout"),
        (&["cat", "bootstrap:/nowhere", "x"], "/nowhere cannot be read"),
        (&["check", &format!("bootstrap:{}", path("text"))], ""),
        (&["unpack", "x"], "--tar"),
    ];
    for (args, message) in cases {
        let output = run(args);
        assert!(!output.status.success(), "{args:?}");
        assert!(said(&output).contains(message), "{args:?}: {}", said(&output));
        assert!(!said(&output).contains("panicked"), "{}", said(&output));
    }
    assert_eq!(run(["unpack", "x"]).status.code(), Some(2));
    assert!(run(["--help"]).status.success());
}

#[test]
fn a_reader_that_goes_away_is_no_error_to_tell() {
    let Some(samples) = samples() else { return };
    let sample: &Path = &samples.join("zstd-blake3");
    let script = r#""$0" ls -R "$1" | head -n 1; "$0" unpack "$1" -o - | head -c 100 | wc -c"#;
    let program = env!("CARGO_BIN_EXE_image-builder");
    let output = Command::new("sh").args(["-c", script, program]).arg(sample).output().unwrap();
    assert_eq!(said(&output), "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("100"));
}

/// Pipelines that call nydusify go on as they are.
#[test]
fn flags_are_taken_as_nydusify_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let files = at.join("files/etc");
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("first"), b"first").unwrap();
    fs::write(files.join("other"), b"other").unwrap();
    let run = |args: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_image-builder"))
            .args(args)
            .current_dir(at)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let tar = ["-C", "files", "-cf", "layer.tar", "etc"];
    assert!(Command::new("tar").args(tar).current_dir(at).status().unwrap().success());
    for args in [
        &["init", "--layout", "in"][..],
        &["new", "--image", "in:v1"],
        &["raw", "add-layer", "--image", "in:v1", "layer.tar"],
    ] {
        assert!(Command::new("umoci").args(args).current_dir(at).status().unwrap().success());
    }
    let convert = ["convert", "--source", "oci:in:v1", "--target-suffix", "-nydus"];
    let more = ["--fs-version", "6", "--fs-chunk-size", "0x100000", "--output-json", "report.json"];
    let patterns = ["--all-platforms", "--prefetch-patterns"];
    let output = run(&[&convert[..], &more, &patterns].concat(), "/etc/first\n\n");
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&fs::read(at.join("report.json")).unwrap()).unwrap();
    assert!(report["target"]["digest"].is_string());
    let inspected = json(&run(&["inspect", "oci:in:v1-nydus", "--json"], ""));
    assert_eq!(inspected["prefetch"], 1);

    let archived = ["convert", "--source", "oci:in:v1", "--target-archive", "out.tar"];
    assert!(run(&archived, "").status.success());
    assert_eq!(json(&run(&["check", "out.tar", "--json"], ""))["problems"], serde_json::json!([]));
    let missing = run(&[&convert[..], &["--prefetch-dir", "/none"]].concat(), "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("/none"), "{}", said(&missing));
    let insecure = run(&[&convert[..], &["--source-insecure"]].concat(), "");
    assert!(said(&insecure).contains("--ca FILE"), "{}", said(&insecure));
}
