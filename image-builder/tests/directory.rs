//! Unpacking into a directory: deep trees, links that lead out, somebody who is not root.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod trees;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use image_builder::opened::{NoBlobs, Opened, Parts};
use image_builder::unpack::{Owners, to_directory};
use rafs::{ChunkSize, Compressor, Content, Digester, Image};
use tree::{Device, Inode, InodeId, Meta, Mode, Name, Path, Time, Tree};
use trees::{is_root, scan};

/// An image of files without bytes.
fn opened(tree: Tree<Content>) -> Opened {
    let image = Image {
        tree,
        chunks: Vec::new(),
        blobs: Vec::new(),
        chunk_size: ChunkSize::DEFAULT,
        compressor: Compressor::Zstd,
        digester: Digester::Sha256,
        inlined_digests: false,
        prefetch: Vec::new(),
    };
    Opened::new(Parts {
        bootstrap: image.write().unwrap().into(),
        blobs: Box::new(NoBlobs),
        metas: HashMap::new(),
        merkle: None,
        root: None,
    })
    .unwrap()
}

fn meta(seconds: i64) -> Meta {
    let mtime = Time::new(seconds, 7).unwrap();
    Meta { mode: Mode::new(0o750), mtime, ..Meta::default() }
}

fn put(tree: &mut Tree<Content>, path: &str, inode: Inode<Content>) -> InodeId {
    tree.insert_at(&Path::parse(path.as_bytes()).unwrap(), inode).unwrap()
}

#[test]
fn a_deep_tree_keeps_every_time_and_link() {
    let mut tree = Tree::new(meta(1));
    let first = put(&mut tree, "first", Inode::file(meta(2), Content::default()));
    let mut path = String::new();
    for depth in 0..300 {
        path.push_str("d/");
        let directory = put(&mut tree, &path, Inode::directory(meta(1000 + depth)));
        tree.link(directory, Name::new(b"linked").unwrap(), first).unwrap();
        // Sorted behind `d`: made on the way back up.
        put(&mut tree, &format!("{path}z"), Inode::symlink(meta(depth), b"/"));
    }
    let opened = opened(tree);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("tree");
    let owners = if is_root() { Owners::Kept } else { Owners::Mine };
    let done = to_directory(&opened, &target, owners, |_| ()).unwrap();
    assert_eq!(done.names, 901);
    let found = scan(&target);
    let mut walk = opened.tree().walk();
    while let Some(visit) = walk.next() {
        let id = found.lookup(&walk.path()).unwrap();
        assert_eq!(found[id].meta.mtime, visit.inode.meta.mtime, "{}", walk.path());
        assert_eq!(found[id].links(), visit.inode.links(), "{}", walk.path());
    }
}

#[test]
fn nothing_is_written_through_a_link_in_the_place_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("there"), "mine").unwrap();
    let mut tree = Tree::new(meta(1));
    put(&mut tree, "a/b", Inode::file(meta(2), Content::default()));
    let opened = opened(tree);
    let target = folder.path().join("target");
    std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
    // What the caller names is followed, and it is not empty.
    to_directory(&opened, &target, Owners::Mine, |_| ()).unwrap_err();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

/// No kernel takes attributes of users on links. What failed says where, and which.
#[test]
fn an_attribute_that_cannot_be_set_is_told_with_its_path() {
    let mut tree = Tree::new(meta(1));
    put(&mut tree, "some", Inode::directory(meta(1)));
    let xattrs = [(b"user.odd\xff".to_vec(), b"2".to_vec())];
    put(&mut tree, "some/link", Inode::symlink(Meta { xattrs: xattrs.into(), ..meta(5) }, b"/"));
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("tree");
    let error = to_directory(&opened(tree), &target, Owners::Mine, |_| ()).unwrap_err();
    let said = format!("{:#}", anyhow::Error::new(error));
    for told in ["/some/link", "an extended attribute", r"user.odd\xff", "Operation not permitted"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn who_is_not_root_gets_files_of_their_own() {
    let mut tree = Tree::new(meta(1));
    let other = Meta { uid: 70_000, gid: 80_000, ..meta(3) };
    put(&mut tree, "file", Inode::file(other, Content::default()));
    put(&mut tree, "null", Inode::char_device(meta(4), Device { major: 1, minor: 3 }));
    let trusted = [(b"trusted.x".to_vec(), b"1".to_vec()), (b"user.x".to_vec(), b"2".to_vec())];
    let marked = Meta { xattrs: trusted.into(), ..meta(5) };
    put(&mut tree, "marked", Inode::file(marked, Content::default()));
    let opened = opened(tree);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("tree");
    let done = to_directory(&opened, &target, Owners::Mine, |_| ()).unwrap();
    assert_eq!(done.skipped, 1);
    let file = fs::metadata(target.join("file")).unwrap();
    assert_eq!(file.uid(), rustix::process::geteuid().as_raw());
    assert_eq!((file.mode() & 0o7777, file.mtime()), (0o750, 3));
    assert!(!target.join("null").exists());
    let found = scan(&target);
    let id = found.lookup(&Path::parse(b"marked").unwrap()).unwrap();
    assert_eq!(found[id].meta.xattrs, [(b"user.x".to_vec(), b"2".to_vec())].into());
}
