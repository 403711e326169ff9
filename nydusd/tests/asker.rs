//! `nydusd mount` asks a process that was there before: for whom, and with which options.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::process::{Command, Output};

use support::{Node, can_mount, done, nydusd, with_registry};

/// `nydusd mount` as somebody whose docker configuration is in `folder`.
fn mount(node: &Node, name: &str, folder: &str, more: &[&str]) -> Output {
    let mut command: Command = nydusd(&["mount", "--driver", "fuse", "--cache-dir"]);
    command.arg(node.path("cache")).args(more).arg(name).arg(node.at());
    command.env_remove("REGISTRY_AUTH_FILE").env("DOCKER_CONFIG", node.path(folder));
    command.output().unwrap()
}

#[test]
fn credentials_are_those_of_who_asks_and_not_of_who_serves() {
    if !can_mount() {
        return;
    }
    let (mut node, tree, name, registry) = with_registry("fuse");
    *registry.wants.lock().unwrap() = Some("Basic dXNlcjpvbGQ=".to_owned());
    node.serve(&[]);
    let refused = mount(&node, &name, "docker", &[]);
    assert_eq!(refused.status.code(), Some(1), "nobody has logged in: {refused:?}");
    // They log in.
    let host = name.split('/').next().unwrap();
    let entry = serde_json::json!({ "auths": { host: { "auth": "dXNlcjpvbGQ=" } } });
    fs::create_dir(node.path("docker")).unwrap();
    fs::write(node.path("docker/config.json"), entry.to_string()).unwrap();
    let mounted = mount(&node, &name, "docker", &[]);
    assert!(mounted.status.success(), "{mounted:?}");
    assert!(mounted.stderr.is_empty(), "{mounted:?}");
    let found = fs::read(node.at().join("chunk")).unwrap();
    assert!(found == fs::read(tree.join("chunk")).unwrap());
    done(nydusd(&["umount"]).arg(node.at()));
    // Somebody else has not.
    let refused = mount(&node, &name, "elsewhere", &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    node.end();
}

#[test]
fn options_of_the_process_that_come_too_late_are_said() {
    if !can_mount() {
        return;
    }
    let (mut node, _, name, _) = with_registry("fuse");
    node.serve(&[]);
    let socket = node.socket();
    let same = ["--read-limit", "3", "--dfdaemon", socket.to_str().unwrap()];
    let mounted = mount(&node, &name, "docker", &same);
    assert!(mounted.status.success() && mounted.stderr.is_empty(), "{mounted:?}");
    done(nydusd(&["umount"]).arg(node.at()));
    let other = ["--read-limit", "7", "--cache-size", "1GiB", "--dfdaemon", "/nowhere.sock"];
    let mounted = mount(&node, &name, "docker", &other);
    let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
    assert!(mounted.status.success(), "{said}");
    for option in ["--read-limit 7", "--cache-size 1", "--dfdaemon /nowhere.sock"] {
        let line = said.lines().find(|line| line.contains(option));
        assert!(line.is_some_and(|line| line.contains("ignored")), "{option}: {said}");
    }
    done(nydusd(&["umount"]).arg(node.at()));
    node.end();
}
