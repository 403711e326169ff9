//! Packing a folder: what comes out is what GNU tar sees in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use image_builder::convert::{Options, Progress};
use image_builder::oci::Platform;
use image_builder::pack::pack;
use image_builder::place::Place;

use support::files::text;
use support::{client, expected, listed, open, scratch, tar};

fn packed(folder: &Path, target: &Path) -> (Vec<String>, content::Digest) {
    let place: Place = format!("oci:{}:v1", target.display()).parse().unwrap();
    let platform: Platform = "linux/arm64".parse().unwrap();
    let to = client().create(&place).unwrap();
    let report = pack(folder, &*to, &platform, &Options::default(), &Progress::default()).unwrap();
    let store = client().open(&place).unwrap();
    let top = store.top().unwrap();
    (listed(&open(&*store, top.manifest().unwrap()).files), report.target.digest)
}

#[test]
fn a_folder_comes_through_as_gnu_tar_sees_it() {
    let (_folder, path) = scratch();
    let root = path.join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/file"), text(1, 2_100_000)).unwrap();
    fs::hard_link(root.join("a/file"), root.join("hard")).unwrap();
    symlink("a/file", root.join("link")).unwrap();
    fs::write(root.join("a/b/suid"), b"x").unwrap();
    fs::set_permissions(root.join("a/b/suid"), fs::Permissions::from_mode(0o4711)).unwrap();
    let wanted = listed(&expected(&[tar(&[
        "--format=pax",
        "--sort=name",
        &format!("--directory={}", root.display()),
        ".",
    ])]));
    let (first, digest) = packed(&root, &path.join("out1"));
    assert_eq!(first, wanted);
    assert_eq!(packed(&root, &path.join("out2")).1, digest, "the same each time");
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let (_folder, path) = scratch();
    let place: Place = format!("oci:{}:v1", path.join("out").display()).parse().unwrap();
    let to = client().create(&place).unwrap();
    let (nowhere, platform) = (path.join("nowhere"), "linux/amd64".parse().unwrap());
    let options = Options::default();
    let error = pack(&nowhere, &*to, &platform, &options, &Progress::default()).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(client().open(&place).is_err(), "an image was written");
}
