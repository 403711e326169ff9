//! As nydus-snapshotter drives it: flags, states, mounts that come and go, and come back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::Read;
use std::sync::atomic::Ordering;

use serde_json::json;
use support::driven::Driven;
use support::rig::{Rig, shape};
use support::{can_mount, drivers};

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
        // The old one's end, which is seen within a second, is not the new one's.
        std::thread::sleep(std::time::Duration::from_secs(1));
        rig.shows(&at.join("7"));
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
fn a_killed_daemon_is_there_again_before_a_silent_registry_has_answered() {
    if !can_mount() {
        return;
    }
    for driver in drivers() {
        let mut rig = Rig::dedicated(driver);
        rig.shows(&rig.daemon.at());
        rig.daemon.kill();
        rig.registry.silent.store(true, Ordering::SeqCst);
        // Without its word of before it would be waited for longest: 5 s.
        for folder in fs::read_dir(rig.daemon.path("cache")).unwrap() {
            fs::remove_dir_all(folder.unwrap().path().join("grants")).unwrap();
        }
        let begun = std::time::Instant::now();
        rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(4), "{driver}: {took:?}");
        eprintln!("{driver}: running after {took:?}");
        rig.registry.silent.store(false, Ordering::SeqCst);
        rig.shows(&rig.daemon.at());
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
