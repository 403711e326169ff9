//! `unpack(convert(x))` is what `umoci unpack` makes of x, entry for entry: for a real image of
//! installed packages, in layers that replace, hide and link what lies under them.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod trees;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tree::{InodeId, Tree};
use trees::{Whole, differences, is_root, scan};

fn run(program: &str, args: &[&str], at: &Path) {
    let output = Command::new(program).args(args).current_dir(at).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

fn builder(args: &[&str], at: &Path) {
    run(env!("CARGO_BIN_EXE_image-builder"), args, at);
}

/// Folders of packages that are installed where this runs.
const PACKAGES: [&str; 5] =
    ["/usr/lib/python3", "/usr/share/perl", "/usr/lib/git-core", "/usr/share/zoneinfo", "/etc"];

fn tar(from: &Path, paths: &[&str], out: &Path) {
    let mut args = vec![
        "--numeric-owner",
        "--sort=name",
        "--xattrs",
        "--xattrs-include=*",
        "--format=pax",
        "-cf",
    ];
    let out = out.display().to_string();
    args.push(&out);
    args.extend(paths);
    run("tar", &args, from);
}

/// The layers of the image, the lowest first.
fn layers(folder: &Path) -> Vec<PathBuf> {
    let base = folder.join("base.tar");
    let there: Vec<&str> = PACKAGES
        .iter()
        .filter(|path| Path::new(path).is_dir())
        .map(|path| path.trim_start_matches('/'))
        .collect();
    assert!(there.len() >= 2, "too little is installed here");
    tar(Path::new("/"), &there, &base);
    let changes = folder.join("changes");
    let put = |path: &str| {
        let path = changes.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    fs::write(put("etc/.wh.hostname"), "").unwrap();
    fs::write(put("usr/share/zoneinfo/Europe/.wh..wh..opq"), "").unwrap();
    fs::write(put("usr/share/zoneinfo/Europe/Nowhere"), "new").unwrap();
    // A directory becomes a file, a file a directory.
    fs::write(put("usr/share/zoneinfo/Asia"), "a file now").unwrap();
    fs::write(put("etc/shells/inside"), "x").unwrap();
    fs::write(put("odd/setuid"), vec![7; 3 << 20]).unwrap();
    fs::set_permissions(put("odd/setuid"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(put("odd/setuid"), put("odd/linked")).unwrap();
    symlink("/nowhere/at all", put("odd/dangling")).unwrap();
    let sparse = fs::File::create(put("odd/sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    fs::write(put("odd/empty"), "").unwrap();
    fs::create_dir_all(put("odd/a/b/c/d/e/f/g")).unwrap();
    run("mkfifo", &["odd/pipe"], &changes);
    run("mknod", &["odd/null", "c", "1", "3"], &changes);
    run("mknod", &["odd/disk", "b", "7", "300"], &changes);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(put("odd/empty"), "user.note", b"a value", flags).unwrap();
    // cap_net_bind_service+ep, version 2.
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    rustix::fs::lsetxattr(put("odd/linked"), "security.capability", capability, flags).unwrap();
    run("chown", &["70000:80000", "odd/sparse"], &changes);
    run("touch", &["-d", "2001-02-03 04:05:06.789", "odd/empty"], &changes);
    run("touch", &["-h", "-d", "1960-01-01", "odd/dangling"], &changes);
    let upper = folder.join("upper.tar");
    let args = [
        "--numeric-owner",
        "--sort=name",
        "--xattrs",
        "--xattrs-include=*",
        "--sparse",
        "--format=pax",
        "-cf",
    ];
    let out = upper.display().to_string();
    run("tar", &[&args[..], &[&out, "."]].concat(), &changes);
    vec![base, upper]
}

/// Takes away what the clock says: times of directories that no layer lists.
fn without_implied(tree: &mut Tree<Whole>, other: &Tree<Whole>) {
    let mut implied = Vec::new();
    let mut walk = other.walk();
    while let Some(visit) = walk.next() {
        if visit.inode.is_directory() && visit.inode.meta.mtime == tree::Time::EPOCH {
            implied.push(walk.path());
        }
    }
    for path in implied {
        if let Some(id) = tree.lookup(&path) {
            tree.get_mut(id).unwrap().meta.mtime = tree::Time::EPOCH;
        }
    }
}

#[test]
fn what_is_unpacked_is_what_umoci_unpacks() {
    if !is_root() {
        return;
    }
    for tool in ["umoci", "tar"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI must have {tool}");
            eprintln!("SKIPPED: there is no {tool}");
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run("umoci", &["init", "--layout", "oci"], at);
    run("umoci", &["new", "--image", "oci:v1"], at);
    for layer in layers(at) {
        run("umoci", &["raw", "add-layer", "--image", "oci:v1", layer.to_str().unwrap()], at);
    }
    run("umoci", &["unpack", "--image", "oci:v1", "bundle"], at);
    let mut expected = scan(&at.join("bundle/rootfs"));
    builder(&["convert", "oci:oci:v1", "oci:chunked:v1"], at);
    builder(&["check", "oci:chunked:v1", "--against", "oci:oci:v1"], at);

    builder(&["unpack", "oci:chunked:v1", "--dir", "tree"], at);
    let found = scan(&at.join("tree"));
    without_implied(&mut expected, &found);
    let told = differences(&expected, &found);
    assert_eq!(told.iter().take(20).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(found.len() > 1000, "{} files are not much of an image", found.len());

    // The tar says the same, to GNU tar too.
    builder(&["unpack", "oci:chunked:v1", "--tar", "tree.tar"], at);
    fs::create_dir(at.join("tarred")).unwrap();
    let args = ["--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*"];
    run("tar", &[&args[..], &["-xf", "tree.tar", "-C", "tarred"]].concat(), at);
    let tarred = scan(&at.join("tarred"));
    let told = differences(&found, &tarred);
    assert_eq!(told.iter().take(20).collect::<Vec<_>>(), Vec::<&String>::new());

    // And the kernel, of the disk image.
    builder(&["export", "--block", "oci:chunked:v1", "-o", "disk"], at);
    fs::create_dir(at.join("mount")).unwrap();
    if let Some(_mounted) = trees::mount::erofs(&at.join("disk"), &[], &at.join("mount")) {
        let told = differences(&found, &scan(&at.join("mount")));
        assert_eq!(told.iter().take(20).collect::<Vec<_>>(), Vec::<&String>::new());
    }
    assert!(found.get(InodeId::ROOT).is_some());

    // And of blobs that are not compressed, as they lie in the layout.
    builder(&["convert", "--compressor", "none", "oci:oci:v1", "oci:plain:v1"], at);
    let (bootstrap, blobs) = parts(&at.join("plain"), at);
    if let Some(_mounted) = trees::mount::erofs(&bootstrap, &blobs, &at.join("mount")) {
        let told = differences(&found, &scan(&at.join("mount")));
        assert_eq!(told.iter().take(20).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

/// The bootstrap of a layout's image, taken out into `at`, and its data blobs.
fn parts(layout: &Path, at: &Path) -> (PathBuf, Vec<PathBuf>) {
    let blob = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    };
    let json = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let index = json(&layout.join("index.json"));
    let manifest = json(&blob(&index["manifests"][0]));
    let mut blobs: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(blob).collect();
    let bootstrap = blobs.pop().unwrap().display().to_string();
    run("tar", &["-xzf", &bootstrap, "image/image.boot"], at);
    (at.join("image/image.boot"), blobs)
}
