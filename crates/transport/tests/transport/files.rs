//! What is kept on disk, and what must not be told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use transport::{Authority, Endpoint, Identity, IdentityError, Limits, Role};

use crate::rig::{Cluster, DAY, address, local, node, soon};

#[test]
fn a_cluster_outlives_its_supernode() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("authority.json");
    let first = Authority::load_or_create(&path).expect("created");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Authority::load_or_create(&path).expect("loaded");
    let addresses = ["s:8002".to_owned()];
    assert_eq!(first.join_string(&addresses), again.join_string(&addresses));
    assert_eq!(first.verifier(), again.verifier());
    let other = Authority::load_or_create(&folder.path().join("other")).expect("created");
    assert_ne!(first.join_string(&addresses), other.join_string(&addresses));
    assert_ne!(first.verifier(), other.verifier());
}

#[test]
fn of_supernodes_that_start_together_one_makes_the_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Arc::new(folder.path().join("authority.json"));
    let starting: Vec<_> = (0..8)
        .map(|_| {
            let path = Arc::clone(&path);
            std::thread::spawn(move || {
                Authority::load_or_create(&path).expect("there").join_string(&[]).to_string()
            })
        })
        .collect();
    let mut clusters: Vec<_> =
        starting.into_iter().map(|thread| thread.join().expect("ran")).collect();
    clusters.dedup();
    assert_eq!(clusters.len(), 1);
}

#[test]
fn an_authority_that_is_damaged_or_open_to_all_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("authority.json");
    Authority::load_or_create(&path).expect("created");
    let good = fs::read_to_string(&path).expect("readable");
    let other_path = folder.path().join("other");
    Authority::load_or_create(&other_path).expect("created");
    let other: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&other_path).expect("readable")).expect("JSON");
    for field in ["ca_certificate", "ca_key", "signing_seed", "join_secret", "version"] {
        let mut value: serde_json::Value = serde_json::from_str(&good).expect("JSON");
        let secret = value["join_secret"].as_str().expect("text").to_owned();
        value[field] = match field {
            "ca_certificate" | "ca_key" => other[field].clone(),
            "version" => 2.into(),
            _ => "short".into(),
        };
        fs::write(&path, value.to_string()).expect("written");
        let error = Authority::load_or_create(&path).expect_err(field);
        assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains(&secret));
    }
    for damaged in ["", "{", &good[..good.len() / 2]] {
        fs::write(&path, damaged).expect("written");
        assert!(Authority::load_or_create(&path).is_err());
    }
    fs::write(&path, &good).expect("written");
    assert!(Authority::load_or_create(&path).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    let error = Authority::load_or_create(&path).expect_err("open to all");
    assert!(matches!(error, IdentityError::Exposed { mode: 0o644, .. }), "{error}");
}

#[tokio::test]
async fn an_identity_survives_a_restart() {
    let cluster = Cluster::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("identity.json");
    assert!(Identity::load(&path).expect("no error").is_none());
    let identity = cluster.identity(Role::Node, "n1");
    identity.save(&path).expect("saved");
    identity.save(&path).expect("saved over the old one");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let loaded = Identity::load(&path).expect("loaded").expect("there");
    assert_eq!(loaded.peer(), identity.peer());
    assert_eq!(loaded.expires_at(), identity.expires_at());
    assert_eq!(loaded.verifier(), identity.verifier());
    let n1 = Endpoint::bind(local(), loaded, Limits::default()).expect("bound");
    let n2 = cluster.node("n2");
    soon(n2.connect(&address(&n1), node("n1"))).await.expect("believed");

    // A key that is not the certificate's is no identity.
    let mut value: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
    cluster.identity(Role::Node, "n1").save(&path).expect("saved");
    let other: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
    value["key"] = other["key"].clone();
    fs::write(&path, value.to_string()).expect("written");
    assert!(Identity::load(&path).is_err());
}

#[tokio::test]
async fn secrets_are_not_told_by_debug() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("authority.json");
    let authority = Arc::new(Authority::load_or_create(&path).expect("created"));
    let kept: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
    let identity = authority.identity(Role::Node, "n1", DAY).expect("signed");
    identity.save(&path).expect("saved");
    let held: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
    let endpoint =
        Endpoint::bind_supernode(local(), Arc::clone(&authority), "s1", Limits::supernode())
            .expect("bound");
    let join = authority.join_string(&["s:1".into()]);
    let told = format!("{authority:?} {identity:?} {join:?} {endpoint:?} {:?}", authority.signer());
    for (file, field) in
        [(&kept, "join_secret"), (&kept, "signing_seed"), (&kept, "ca_key"), (&held, "key")]
    {
        let secret = file[field].as_str().expect("text");
        // Of a PEM file the second line is the first of the key.
        let secret = secret.lines().nth(1).unwrap_or(secret);
        assert!(secret.len() >= 16);
        assert!(!told.contains(secret), "{field}");
    }
    assert!(authority.admits(kept["join_secret"].as_str().expect("text")));
    assert!(!authority.admits(""));
    assert!(!authority.admits("wrong"));
}
