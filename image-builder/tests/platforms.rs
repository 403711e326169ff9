//! Indexes of several platforms, Docker's media types and what `docker save` writes, by the
//! program itself; and a registry that asks who it is.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use content::Digest;
use image_builder::oci::media_type;
use layer::MemberKind;
use serde_json::{Value, json};

use support::files::{Tar, text};
use support::filling::{DOCKER, Filling, OCI};
use support::{expected, gzip, listed, open, scratch};

fn try_builder(args: &[&str], at: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_image-builder")).args(args).current_dir(at).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn builder(args: &[&str], at: &Path) -> Vec<u8> {
    let output = try_builder(args, at);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    output.stdout
}

/// Two images that share a layer.
fn images() -> [(&'static str, Vec<Vec<u8>>); 2] {
    let shared = Tar::new().file("shared", &text(1, 200_000)).done();
    let of = |platform: &str| Tar::new().file("platform", platform.as_bytes()).done();
    ["linux/amd64", "linux/arm64/v8"].map(|platform| (platform, vec![shared.clone(), of(platform)]))
}

/// What the name `v1` of a layout leads to.
fn top(folder: &Path) -> Value {
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let digest: Digest = index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    let bytes = fs::read(folder.join("blobs/sha256").join(digest.to_hex())).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn platforms(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().unwrap();
    let of = |entry: &Value| {
        let part = |key: &str| entry["platform"][key].as_str().unwrap_or_default().to_owned();
        format!("{}/{}/{}", part("os"), part("architecture"), part("variant"))
    };
    manifests.iter().map(of).collect()
}

#[test]
fn all_platforms_of_an_index_or_those_that_are_asked_for() {
    let (_folder, at) = scratch();
    Filling(&at.join("in"), &OCI).index(&images());
    builder(&["convert", "oci:in:v1", "oci:all:v1"], &at);
    let all = top(&at.join("all"));
    assert_eq!(all["mediaType"], media_type::OCI_INDEX);
    assert_eq!(platforms(&all), ["linux/amd64/", "linux/arm64/v8"]);
    for (platform, _) in images() {
        let asked = ["--platform", platform];
        let bytes = builder(&[&["cat", "oci:all:v1", "/platform"], &asked[..]].concat(), &at);
        assert_eq!(bytes, platform.as_bytes());
        let checked = ["check", "oci:all:v1", "--against", "oci:in:v1"];
        builder(&[&checked, &asked[..]].concat(), &at);
    }
    builder(&["convert", "oci:in:v1", "oci:arm:v1", "--platform", "linux/arm64"], &at);
    assert_eq!(platforms(&top(&at.join("arm"))), ["linux/arm64/v8"]);
    // nydusify's name for the same, and two at once.
    let asked = ["--platform", "linux/amd64,linux/arm64/v8"];
    let named = ["convert", "--source", "oci:in:v1", "--target", "oci:both:v1"];
    builder(&[&named, &asked[..]].concat(), &at);
    assert_eq!(top(&at.join("both")), all);

    let output =
        try_builder(&["convert", "oci:in:v1", "oci:no:v1", "--platform", "linux/s390x"], &at);
    assert_eq!(output.status.code(), Some(1));
    for told in ["linux/s390x", "linux/amd64", "linux/arm64/v8"] {
        assert!(said(&output).contains(told), "{}", said(&output));
    }
    assert!(!at.join("no/index.json").exists());
    let output = try_builder(&["cat", "oci:all:v1", "/platform", "--platform", "linux/s390x"], &at);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("linux/s390x"), "{}", said(&output));
}

#[test]
fn both_kinds_of_image_under_one_name() {
    let (_folder, at) = scratch();
    Filling(&at.join("in"), &OCI).index(&images());
    builder(&["convert", "--merge-index", "oci:in:v1", "oci:out:v1"], &at);
    let index = top(&at.join("out"));
    let kinds = index["manifests"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|entry| entry["artifactType"].as_str()).collect();
    assert_eq!(
        kinds,
        [None, None, Some(media_type::NYDUS_MANIFEST), Some(media_type::NYDUS_MANIFEST)]
    );
    let both = ["linux/amd64/", "linux/arm64/v8"];
    assert_eq!(platforms(&index), [both, both].concat());
    // The image is compared with the ordinary one beside it.
    builder(&["check", "oci:out:v1", "--against", "oci:out:v1", "--platform", "linux/arm64"], &at);
    // Converted again, chunked images are passed over.
    builder(&["convert", "oci:out:v1", "oci:again:v1"], &at);
    assert_eq!(platforms(&top(&at.join("again"))), both);
}

#[test]
fn media_types_of_docker_in_and_out() {
    let (_folder, at) = scratch();
    let [(platform, tars), other] = images();
    let docker = Filling(&at.join("in"), &DOCKER);
    docker.index(&[(platform, tars.clone()), other]);
    builder(&["convert", "oci:in:v1", "oci:oci:v1"], &at);
    let index = top(&at.join("oci"));
    assert_eq!(index["mediaType"], media_type::OCI_INDEX);
    assert_eq!(index["manifests"][0]["mediaType"], media_type::OCI_MANIFEST);
    builder(&["convert", "--docker", "oci:in:v1", "oci:docker:v1"], &at);
    let index = top(&at.join("docker"));
    assert_eq!(index["mediaType"], media_type::DOCKER_INDEX);
    for entry in index["manifests"].as_array().unwrap() {
        assert_eq!(entry["mediaType"], media_type::DOCKER_MANIFEST);
    }
    // One image alone, to its config and its layers.
    docker.name(&docker.image(platform, &tars));
    builder(&["convert", "--docker-v2-format", "oci:in:v1", "oci:one:v1"], &at);
    let manifest = top(&at.join("one"));
    assert_eq!(manifest["mediaType"], media_type::DOCKER_MANIFEST);
    assert_eq!(manifest["config"]["mediaType"], media_type::DOCKER_CONFIG);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.last().unwrap()["mediaType"], media_type::DOCKER_LAYER_GZIP);
    assert_eq!(layers[0]["mediaType"], media_type::NYDUS_BLOB);
    let all: Vec<String> = fs::read_dir(at.join("one/blobs/sha256"))
        .unwrap()
        .map(|blob| String::from_utf8_lossy(&fs::read(blob.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert!(all.iter().any(|text| text.contains("FOR=linux/amd64")), "the config is kept");
    for image in ["oci:oci:v1", "oci:docker:v1", "oci:one:v1"] {
        builder(&["check", image, "--against", "oci:in:v1", "--platform", "linux/amd64"], &at);
    }
}

/// As docker before version 25 writes it: a folder for each layer, a link where one is there twice.
#[test]
fn what_docker_saves() {
    let (_folder, at) = scratch();
    let [(_, mut tars), _] = images();
    tars.push(tars[0].clone());
    let ids: Vec<_> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = config.to_string();
    let name = format!("{}.json", Digest::of(config.as_bytes()).to_hex());
    let list = json!([{
        "Config": name, "RepoTags": ["demo/app:v1", "demo/app:latest"],
        "Layers": ["aaa/layer.tar", "bbb/layer.tar", "ccc/layer.tar"],
    }]);
    let saved = Tar::new()
        .put("aaa", MemberKind::Directory, "", b"")
        .file("aaa/VERSION", b"1.0")
        .file("aaa/layer.tar", &tars[0])
        .file("bbb/layer.tar", &gzip(&tars[1]))
        .put("ccc/layer.tar", MemberKind::Symlink, "../aaa/layer.tar", b"")
        .file(&name, config.as_bytes())
        .file("manifest.json", list.to_string().as_bytes())
        .file("repositories", br#"{"demo/app":{"v1":"ccc"}}"#)
        .done();
    fs::write(at.join("saved.tar"), &saved).unwrap();
    fs::write(at.join("saved.tar.gz"), gzip(&saved)).unwrap();
    let wanted = listed(&expected(&tars));
    for (number, source) in
        ["docker-archive:saved.tar:demo/app:v1", "docker-archive:saved.tar", "saved.tar.gz"]
            .iter()
            .enumerate()
    {
        let target = format!("oci:out{number}:v1");
        builder(&["convert", source, &target], &at);
        builder(&["check", &target, "--against", "docker-archive:saved.tar:demo/app:v1"], &at);
        let place = format!("oci:{}:v1", at.join(format!("out{number}")).display());
        let store = support::client().open(&place.parse().unwrap()).unwrap();
        let top = store.top().unwrap();
        assert_eq!(listed(&open(&*store, top.manifest().unwrap()).files), wanted, "{source}");
    }
    let output =
        try_builder(&["convert", "docker-archive:saved.tar:demo/app:v2", "oci:no:v1"], &at);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("demo/app:v1"), "{}", said(&output));
    // A layer that is not there.
    let list = json!([{"Config": name, "RepoTags": null, "Layers": ["nowhere/layer.tar"]}]);
    let tar = Tar::new().file("manifest.json", list.to_string().as_bytes());
    fs::write(at.join("saved.tar"), tar.file(&name, config.as_bytes()).done()).unwrap();
    let output = try_builder(&["convert", "docker-archive:saved.tar", "oci:no:v1"], &at);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nowhere/layer.tar"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_who_it_is() {
    let bed = testbed::Bed::new().unwrap();
    let registry = bed.registry().user("ann", "secret").start().await.unwrap();
    let host = registry.host();
    let (_folder, at) = scratch();
    let [(_, tars), _] = images();
    let filling = Filling(&at.join("in"), &OCI);
    filling.name(&filling.image("linux/amd64", &tars));
    let login = |password: &str| {
        let value = testbed::registry::basic("ann", password);
        let auth = value.strip_prefix("Basic ").unwrap();
        let config = json!({"auths": {host.clone(): {"auth": auth}}});
        fs::write(at.join(format!("{password}.json")), config.to_string()).unwrap();
        format!("--docker-config={password}.json")
    };
    let (good, bad) = (login("secret"), login("guess"));
    fs::write(at.join("none.json"), "{}").unwrap();
    let (image, chunked) = (format!("{host}/demo/app:v1"), format!("{host}/demo/chunked:v1"));
    let pushed = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds=ann:secret"])
        .args(["oci:in:v1", &format!("docker://{image}")])
        .current_dir(&at)
        .output()
        .unwrap();
    assert!(pushed.status.success(), "{}", said(&pushed));

    builder(&["convert", &good, &image, &chunked], &at);
    builder(&["check", &good, &chunked, "--against", &image], &at);
    assert_eq!(builder(&["cat", &good, &chunked, "/platform"], &at), b"linux/amd64");
    let merged = format!("{host}/other/both:v1");
    builder(&["convert", &good, "--merge-index", &image, &merged], &at);
    builder(&["check", &good, &merged], &at);
    for (wrong, from, to) in [
        (&bad[..], &image[..], "oci:no:v1"),
        ("--docker-config=none.json", &image, "oci:no:v1"),
        (&bad, "oci:in:v1", &chunked),
        ("--docker-config=none.json", "oci:in:v1", &chunked),
    ] {
        let output = try_builder(&["convert", wrong, from, to], &at);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        let said = said(&output);
        assert!(said.contains(&host) && !said.contains("guess"), "{said}");
    }
    assert!(!at.join("no/index.json").exists());
}
