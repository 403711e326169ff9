//! Private stays private: the chunk cache is the node's, and what a mount gets of it is what its own
//! registry has said it may have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use support::server::{Behaviour, dfdaemon, registry};
use support::{Node, can_mount, drivers, wait, with_registry};

/// The digest, in hex, of an image's data blob: the largest blob there is.
fn data_blob(node: &Node) -> String {
    let blobs = fs::read_dir(node.path("layout/blobs/sha256")).unwrap().map(Result::unwrap);
    let data = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    data.file_name().into_string().unwrap()
}

/// How often it was asked whether it has a blob.
fn heads(registry: &Behaviour) -> usize {
    let asked = registry.asked();
    asked.iter().filter(|line| line.starts_with("HEAD ") && line.contains("/blobs/")).count()
}

fn second_folder(node: &Node) -> PathBuf {
    let at = node.path("second");
    fs::create_dir(&at).unwrap();
    at
}

#[test]
fn a_manifest_that_names_a_foreign_blob_gets_nothing_of_the_cache() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, first) = with_registry(driver);
        node.mount(Path::new(&name), &["--prefetch", "all"]);
        wait(|| node.ls_json()["held"].as_u64().unwrap() > 6_000_000, "all of the image");
        assert!(fs::read(node.at().join("a/big")).is_ok());
        assert_eq!(heads(&first), 0, "{driver}: who fetches a blob need not ask for it");
        // Somebody's own registry has the manifest and the bootstrap, and not the data.
        let (address, evil) = registry(&node.path("layout"));
        evil.lacks.lock().unwrap().push(data_blob(&node));
        let at = second_folder(&node);
        node.mount_too_so(Path::new(&format!("{address}/evil/app:v1")), &at, &[]);
        assert!(fs::read_dir(&at).unwrap().count() > 0, "its metadata is its own");
        for file in ["a/big", "chunk", "one"] {
            let error = fs::read(at.join(file)).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver} {file}");
        }
        assert!(heads(&evil) > 0, "{driver}");
        // Once it has the blob, one question is enough, and nothing is fetched.
        evil.lacks.lock().unwrap().clear();
        let (asked, parts) = (heads(&evil), evil.parts());
        node.forget_pages();
        for file in ["a/big", "chunk", "one"] {
            let found = fs::read(at.join(file)).unwrap();
            assert!(found == fs::read(tree.join(file)).unwrap(), "{driver} {file}");
        }
        assert_eq!((heads(&evil) - asked, evil.parts()), (1, parts), "{driver}");
        node.forget_pages();
        assert!(fs::read(at.join("chunk")).is_ok());
        assert_eq!(heads(&evil) - asked, 1, "{driver}");
        support::done(support::nydusd(&["umount"]).arg(&at));
        node.umount();
    }
}

/// The digest, in hex, of an image's bootstrap layer: the last of its manifest.
fn bootstrap(node: &Node) -> String {
    let blobs = node.path("layout/blobs/sha256");
    let index = fs::read_to_string(node.path("layout/index.json")).unwrap();
    let manifest = &index.split_once("sha256:").unwrap().1[..64];
    let manifest = fs::read(blobs.join(manifest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers.last().unwrap()["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
}

#[test]
fn a_manifest_that_names_a_foreign_bootstrap_is_not_mounted_from_what_is_kept() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, first) = with_registry("auto");
    node.mount(Path::new(&name), &[]);
    assert_eq!(heads(&first), 0, "it has just sent the bootstrap");
    let (address, evil) = registry(&node.path("layout"));
    evil.lacks.lock().unwrap().push(bootstrap(&node));
    let (at, image) = (second_folder(&node), format!("{address}/evil/app:v1"));
    let mount = |image: &str| {
        let mut command = support::nydusd(&["mount", "--plain-http", "--cache-dir"]);
        command.arg(node.path("cache")).arg(image).arg(&at).output().unwrap()
    };
    let refused = mount(&image);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("has no blob"), "{said}");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    // Who has it may have it.
    evil.lacks.lock().unwrap().clear();
    assert!(mount(&image).status.success());
    support::done(support::nydusd(&["umount"]).arg(&at));
    node.umount();
}

#[test]
fn while_the_registry_is_away_what_it_said_within_a_day_counts() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, tree, name, registry) = with_registry(driver);
        // By digest: then even the manifest need not be asked for again.
        let index = fs::read_to_string(node.path("layout/index.json")).unwrap();
        let digest = &index.split_once("sha256:").unwrap().1[..64];
        let name = name.replace(":v1", &format!("@sha256:{digest}"));
        let limit = ["--read-limit", "2"];
        node.mount(Path::new(&name), &limit);
        let of_metadata = grants(&node);
        assert_eq!(of_metadata.len(), 1, "{driver}: the bootstrap's");
        fs::read(node.at().join("chunk")).unwrap();
        node.umount();
        registry.down.store(true, Ordering::SeqCst);
        node.mount(Path::new(&name), &limit);
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        node.umount();
        // What nobody remembers is not given out unasked.
        for grant in grants(&node).difference(&of_metadata) {
            fs::remove_file(grant).unwrap();
        }
        node.mount(Path::new(&name), &limit);
        let error = fs::read(node.at().join("chunk")).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{driver}");
        registry.down.store(false, Ordering::SeqCst);
        let found = fs::read(node.at().join("chunk")).unwrap();
        assert!(found == fs::read(tree.join("chunk")).unwrap(), "{driver}");
        node.umount();
        // Nor is the metadata.
        registry.down.store(true, Ordering::SeqCst);
        fs::remove_dir_all(node.path("cache/grants")).unwrap();
        assert!(!node.mount_and_return(Path::new(&name), &limit).status.success(), "{driver}");
    }
}

/// What the node remembers of registries' grants.
fn grants(node: &Node) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(node.path("cache/grants")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn dfdaemon_is_shown_what_the_registry_wants_and_no_log_has_it() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let (mut node, _, name, registry) = with_registry(driver);
        let daemon = dfdaemon(&node.path("layout"), &node.socket());
        let (config, host) = (node.path("config.json"), name.split('/').next().unwrap());
        let login = |auth: &str| {
            let entry = serde_json::json!({ "auths": { host: { "auth": auth } } });
            fs::write(&config, entry.to_string()).unwrap();
            for server in [&registry, &daemon] {
                *server.wants.lock().unwrap() = Some(format!("Basic {auth}"));
            }
        };
        // "user:old"
        login("dXNlcjpvbGQ=");
        let docker = config.to_str().unwrap().to_owned();
        node.mount(Path::new(&name), &["--docker-config", &docker]);
        let metadata = registry.parts();
        fs::read(node.at().join("one")).unwrap();
        assert_eq!((daemon.parts() > 0, registry.parts()), (true, metadata), "{driver}");
        // They change: the registry is asked once, and then it is dfdaemon again.
        login("dXNlcjpuZXc=");
        fs::read(node.at().join("chunk")).unwrap();
        let (asked, given) = (registry.parts(), daemon.parts());
        fs::read(node.at().join("a/big")).unwrap();
        assert_eq!((registry.parts(), daemon.parts() > given), (asked, true), "{driver}");
        let log = fs::read_to_string(node.path("cache/nydusd.log")).unwrap();
        assert!(!log.contains("dXNlcjp"), "{driver}: a credential is in the log");
        node.umount();
    }
}
