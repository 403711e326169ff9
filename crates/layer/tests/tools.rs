//! Layers that GNU tar wrote, in each of its formats, against the folder that they came from and
//! against what umoci unpacks.

mod common;
#[path = "common/folder.rs"]
mod folder;
#[path = "common/umoci.rs"]
mod umoci;

use std::fs;
use std::path::Path;

use common::{assert_same, is_root, list_folder, list_tree, read, run, tree_of};
use layer::write_tar;

/// What `tar` writes of `folder` with these options.
fn gnu_tar(folder: &Path, options: &[&str]) -> Vec<u8> {
    let to = folder.parent().expect("a parent").join("out.tar");
    let fixed = ["--numeric-owner", "--sort=name", "-C", folder.to_str().expect("UTF-8")];
    let target = ["-cf", to.to_str().expect("UTF-8")];
    run("tar", &[&target[..], &fixed, options, &["."]].concat(), folder);
    fs::read(to).expect("it was written")
}

#[test]
fn every_format_of_gnu_tar_is_the_folder_again() {
    if !is_root("every_format_of_gnu_tar_is_the_folder_again") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    for (name, posix, options) in [
        ("oldgnu", false, &["--format=oldgnu"][..]),
        ("gnu", false, &["--format=gnu"]),
        ("gnu, sparse", false, &["--format=gnu", "--sparse"]),
        ("posix", true, &["--format=posix", "--xattrs", "--xattrs-include=*"]),
        ("posix, sparse 0.0", true, &SPARSE_00),
        ("posix, sparse 0.1", true, &SPARSE_01),
        ("posix, sparse 1.0", true, &SPARSE_10),
    ] {
        let folder = scratch.path().join(name);
        folder::make(&folder, posix);
        let bytes = gnu_tar(&folder, options);
        let mut listing = list_folder(&folder);
        // No PAX header can say that an attribute is empty.
        for line in listing.values_mut() {
            line.what = line.what.replace(" user.empty=", "");
        }
        assert_same(&list_tree(&tree_of(&bytes)), &listing, name);
    }
}

const SPARSE_00: [&str; 5] =
    ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=0.0"];
const SPARSE_01: [&str; 5] =
    ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=0.1"];
const SPARSE_10: [&str; 5] =
    ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=1.0"];

/// ustar and v7 have no room for some of it; what they do have room for is right.
#[test]
fn old_formats_are_read_too() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("small");
    fs::create_dir_all(folder.join("d".repeat(60)).join("e".repeat(60))).expect("made");
    fs::write(folder.join("file"), b"content").expect("written");
    fs::hard_link(folder.join("file"), folder.join("linked")).expect("linked");
    std::os::unix::fs::symlink("file", folder.join("symlink")).expect("linked");
    run("touch", &["-h", "-d", "@1600000000", "file", "symlink"], &folder);
    let ustar = gnu_tar(&folder, &["--format=ustar", "--mtime=@1600000000"]);
    let mut listing = list_folder(&folder);
    for line in listing.values_mut() {
        line.mtime = None;
    }
    assert_same(&list_tree(&tree_of(&ustar)), &listing, "ustar");

    fs::remove_dir_all(folder.join("d".repeat(60))).expect("removed");
    let v7 = gnu_tar(&folder, &["--format=v7", "--mtime=@1600000000"]);
    let mut listing = list_folder(&folder);
    for line in listing.values_mut() {
        line.mtime = None;
    }
    assert_same(&list_tree(&tree_of(&v7)), &listing, "v7");
}

#[test]
fn more_than_eight_gigabytes_declared_sparse() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("huge");
    fs::create_dir(&folder).expect("made");
    let file = fs::File::create(folder.join("huge")).expect("made");
    file.set_len(20 << 30).expect("sized");
    std::os::unix::fs::FileExt::write_all_at(&file, b"the end", (20 << 30) - 7).expect("written");
    run("touch", &["-d", "@1600000000", "huge", "."], &folder);
    for options in [
        &["--format=gnu", "--sparse", "--hole-detection=seek"][..],
        &["--format=posix", "--sparse", "--hole-detection=seek"],
    ] {
        let bytes = gnu_tar(&folder, options);
        assert_same(&list_tree(&tree_of(&bytes)), &list_folder(&folder), &options.join(" "));
    }
}

#[test]
fn umoci_makes_the_same_of_everything() {
    if !is_root("umoci_makes_the_same_of_everything") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("all");
    folder::make(&folder, true);
    let plain = gnu_tar(&folder, &["--format=posix", "--xattrs", "--xattrs-include=*"]);
    // umoci does not know GNU's old sparse files; those are compared with their folder above.
    let gnu = gnu_tar(&folder, &["--format=gnu"]);
    for (name, bytes) in [("posix", &plain), ("gnu", &gnu), ("1.0", &gnu_tar(&folder, &SPARSE_10))]
    {
        let theirs =
            umoci::unpack(scratch.path(), std::slice::from_ref(bytes)).expect("umoci takes it");
        assert_same(&list_tree(&tree_of(bytes)), &theirs, name);
    }
}

/// What we write, umoci and GNU tar unpack to the same again.
#[test]
fn what_is_written_is_what_was_read() {
    if !is_root("what_is_written_is_what_was_read") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("all");
    folder::make(&folder, true);
    rustix::fs::lremovexattr(folder.join("etc/file"), "user.empty").expect("it was there");
    let bytes = gnu_tar(&folder, &["--format=posix", "--xattrs", "--xattrs-include=*"]);
    let layer = layer::read_layer(&bytes[..], &layer::Options::default(), |_, data| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(data, &mut bytes).map(|_| bytes)
    });
    let tree = tree::stack(tree::Tree::default(), layer.expect("read")).expect("it fits");
    let mut written = Vec::new();
    let size = |content: &Vec<u8>| content.len() as u64;
    let sockets = write_tar(&tree, &mut written, size, |_, content, out| out.write_all(content));
    assert_eq!(sockets.expect("written"), 0);
    assert_same(&list_tree(&tree_of(&written)), &list_folder(&folder), "ours");

    let theirs =
        umoci::unpack(scratch.path(), std::slice::from_ref(&written)).expect("umoci takes it");
    assert_same(&theirs, &list_folder(&folder), "umoci");

    let unpacked = scratch.path().join("unpacked");
    fs::create_dir(&unpacked).expect("made");
    fs::write(scratch.path().join("ours.tar"), &written).expect("written");
    let options = ["--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*"];
    run("tar", &[&["-xf", "../ours.tar"], &options[..]].concat(), &unpacked);
    assert_same(&list_folder(&unpacked), &list_folder(&folder), "GNU tar");
}

/// A tar that is cut off within a member, or before its extended header's, is refused.
#[test]
fn a_truncated_archive_is_refused() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("few");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("one"), [1; 700]).expect("written");
    fs::write(folder.join("x".repeat(150)), [2; 10]).expect("written");
    let bytes = gnu_tar(&folder, &["--format=posix", "-b1"]);
    assert!(read(&bytes).is_ok());
    // The end may be missing, but no byte of a file. (The folder is `./`, 1536 bytes with what PAX
    // says of it; then `one`, 1024 and its data.)
    let ends = |length: usize| {
        length == 1536 || (1536 + 1536 + 700..=1536 + 1536 + 1024).contains(&length)
    };
    for length in 0..bytes.len() - 1024 - 502 {
        let refused = read(&bytes[..length]);
        assert_eq!(refused.is_ok(), ends(length), "{length} of {}: {refused:?}", bytes.len());
    }
}

/// Archives of Python's tarfile, with what its PAX and GNU formats have for what headers have no
/// room for; `fixtures/make.py` wrote them.
#[test]
fn archives_of_python() {
    let pax = include_bytes!("fixtures/python-pax.tar");
    let gnu = include_bytes!("fixtures/python-gnu.tar");
    let (pax_tree, gnu_tree) = (tree_of(pax), tree_of(gnu));
    let (ours, mut theirs) = (list_tree(&pax_tree), list_tree(&gnu_tree));
    assert_eq!(ours.len(), 17);

    // The two differ in what was given to the one only.
    let setuid = common::tree_path("bin/setuid");
    let linked = common::tree_path("bin/linked");
    for path in [&setuid, &linked] {
        let line = theirs.get_mut(path).expect("there");
        let capability = format!("\\x01\\x00\\x00\\x02\\x00 {}", "\\x00".repeat(14));
        let xattrs = format!(" security.capability={capability} user.name=value user.other=value");
        line.what = line.what.replace("1000:100", &format!("1000:100{xattrs}"));
        line.mtime = tree::Time::new(1_500_000_000, 250_000_000);
    }
    assert_same(&ours, &theirs, "PAX and GNU");
    let line = |path: &str| &ours[&common::tree_path(path)];
    assert!(line("disk").what.starts_with("block 259:65537 660"));
    assert!(line("big-ids").what.ends_with("644 4000000000:3000000"));
    assert_eq!(line("before-1970").mtime, tree::Time::new(-1000, 0));
    let latin = tree::Path::parse(b"caf\xe9").expect("a path");
    assert!(ours.contains_key(&latin));

    if !is_root("archives_of_python, against umoci") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    for (name, bytes) in [("pax", &pax[..]), ("gnu", &gnu[..])] {
        let mut ours = list_tree(&tree_of(bytes));
        for line in ours.values_mut() {
            // Only bsdtar's key says this one; Go does not read that.
            line.what = line.what.replace(" user.other=value", "");
        }
        let theirs = umoci::unpack(scratch.path(), &[bytes.to_vec()]).expect("umoci takes it");
        assert_same(&ours, &theirs, name);
    }
}
