//! The samples, and images of real directories.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use image_builder::convert::{Options, Progress};
use image_builder::pack::pack;
use image_builder::place::Place;
use image_builder::store::{Access, Client};
use testbed::text;

use super::{Node, done};

/// What is mounted of a sample: its folder, or the blob with everything in it.
pub(crate) fn mountable(sample: &Path) -> PathBuf {
    if sample.join("bootstrap").is_file() { sample.to_owned() } else { only_blob(sample) }
}

pub(crate) fn only_blob(sample: &Path) -> PathBuf {
    fs::read_dir(sample.join("blobs")).unwrap().next().unwrap().unwrap().path()
}

/// The tree that the samples were made from, unpacked by tar.
pub(crate) fn original(samples: &Path, into: &Path) {
    fs::create_dir(into).unwrap();
    done(
        Command::new("tar")
            .args(["--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*"])
            .arg("--zstd")
            .arg("-xf")
            .arg(samples.join("tree.tar.zst"))
            .arg("-C")
            .arg(into),
    );
}

/// A directory with what an image can have.
pub(crate) fn directory(at: &Path) {
    fs::create_dir_all(at.join("a/b/c")).unwrap();
    for (name, length) in [("empty", 0), ("one", 1), ("page", 4096), ("chunk", 1 << 20)] {
        fs::write(at.join(name), text(length as u64, length)).unwrap();
    }
    fs::write(at.join("a/big"), text(7, 5_000_123)).unwrap();
    fs::hard_link(at.join("a/big"), at.join("a/b/hard")).unwrap();
    fs::create_dir(at.join("many")).unwrap();
    for number in 0..700 {
        let name = format!("many/{number}-{}", "n".repeat(number % 200));
        fs::write(at.join(name), text(number as u64, number * 7)).unwrap();
    }
    symlink("../a/big", at.join("a/link")).unwrap();
    symlink("nowhere", at.join("dangling")).unwrap();
    symlink("x".repeat(4000), at.join("long-link")).unwrap();
    fs::write(at.join(std::str::from_utf8(&[b'n'; 255]).unwrap()), b"long name").unwrap();
    for (name, mode) in [("suid", 0o4755), ("secret", 0o600), ("shut", 0o000)] {
        fs::write(at.join(name), name).unwrap();
        fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::copy("/bin/true", at.join("program")).unwrap();
    std::os::unix::fs::chown(at.join("secret"), Some(100_000), Some(7)).unwrap();
    for (kind, name, more) in
        [("c", "null", &["1", "3"][..]), ("b", "block", &["7", "300"]), ("p", "pipe", &[])]
    {
        done(Command::new("mknod").arg(at.join(name)).arg(kind).args(more));
    }
    rustix::fs::setxattr(
        at.join("one"),
        "user.note",
        b"kept\0as bytes",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    rustix::fs::setxattr(at.join("a"), "trusted.x", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    assert!(fs::symlink_metadata(at.join("pipe")).unwrap().file_type().is_fifo());
}

/// An image of so many small files in so many folders.
pub(crate) fn many_files(node: &Node, name: &str, folders: usize, each: usize) -> PathBuf {
    let tree = node.path(&format!("{name}.tree"));
    for folder in 0..folders {
        let folder = tree.join(folder.to_string());
        fs::create_dir_all(&folder).unwrap();
        for number in 0..each {
            fs::write(folder.join(format!("file-{number}")), format!("{name} {number}")).unwrap();
        }
    }
    let layout = node.path(name);
    packed(&tree, &layout);
    layout
}

/// Takes the image's data blob away: the largest there is.
pub(crate) fn hide_data(layout: &Path) -> PathBuf {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let largest =
        blobs.map(|blob| blob.unwrap().path()).max_by_key(|blob| blob.metadata().unwrap().len());
    let largest = largest.unwrap();
    fs::remove_file(&largest).unwrap();
    largest
}

/// The directory as a chunked image in an OCI layout.
pub(crate) fn packed(directory: &Path, layout: &Path) {
    packed_so(directory, layout, &Options::default());
}

/// The same, in another way.
pub(crate) fn packed_so(directory: &Path, layout: &Path, options: &Options) {
    let place: Place = format!("oci:{}:v1", layout.display()).parse().unwrap();
    let to = Client::new(Access::default()).unwrap().create(&place).unwrap();
    let platform = "linux/amd64".parse().unwrap();
    pack(directory, &*to, &platform, options, &Progress::default()).unwrap();
}
