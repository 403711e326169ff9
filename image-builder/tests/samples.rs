//! What stock `nydus-image` made, opened, checked, unpacked and exported: the same tree each time
//! as the one that it was made from.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod trees;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use image_builder::check::{self, check, compare_with};
use image_builder::diff;
use image_builder::export;
use image_builder::layers;
use image_builder::opened::local::{self, BlobsAt};
use image_builder::opened::{Follow, Opened, find};
use image_builder::prove;
use image_builder::unpack::{Owners, to_directory, to_tar};
use layer::Options;
use testbed::{SAMPLES, samples};
use tree::{Inode, InodeId, Meta, Path as TreePath, Time, Tree};
use trees::{bootstrap, differences, is_root, scan};

/// All samples, opened.
fn each(test: impl Fn(&str, &Path, &Opened)) {
    let Some(samples) = samples() else { return };
    for name in SAMPLES {
        let sample = samples.join(name);
        let opened = local::open(&bootstrap(&sample), &BlobsAt::Guess).unwrap();
        test(name, &sample, &opened);
    }
}

/// The tar that the samples were made from, unpacked by tar itself.
fn original(into: &Path) -> PathBuf {
    let tree = into.join("tree");
    fs::create_dir(&tree).unwrap();
    let done = std::process::Command::new("tar")
        .args(["--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*", "--zstd"])
        .arg("-xf")
        .arg(samples().unwrap().join("tree.tar.zst"))
        .arg("-C")
        .arg(&tree)
        .status()
        .unwrap();
    assert!(done.success());
    tree
}

/// From a directory, `nydus-image` does not keep the root's time; from a tar, only whole seconds.
fn kept<C: Clone>(mut tree: Tree<C>, sample: &str) -> Tree<C> {
    if !sample.starts_with("tar-") {
        tree.get_mut(InodeId::ROOT).unwrap().meta.mtime = Time::EPOCH;
    } else {
        let ids: Vec<_> = tree.inodes().map(|(id, _)| id).collect();
        for id in ids {
            let meta = &mut tree.get_mut(id).unwrap().meta;
            meta.mtime = Time::new(meta.mtime.seconds(), 0).unwrap();
        }
    }
    tree
}

/// No more than anybody reads.
fn few(mut told: Vec<String>) -> Vec<String> {
    told.truncate(10);
    told
}

#[test]
fn nothing_is_wrong_with_them() {
    each(|name, _, opened| {
        let found = check(opened, 2, &()).unwrap();
        let problems: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new(), "{name}");
        assert_eq!(found.chunks, opened.image().chunks.len() as u64, "{name}");
        assert!(found.report.files > 10 && found.chunk_bytes > 100_000, "{name}");
    });
}

#[test]
fn a_root_off_the_bootstrap_is_the_trees() {
    each(|name, _, opened| {
        let root = image::root::root_of(opened.bootstrap()).unwrap();
        assert_eq!(root, opened.hashes().root(), "{name}");
    });
}

#[test]
fn they_are_what_their_tar_is() {
    each(|name, sample, opened| {
        let tar = File::open(sample.join("../tree.tar.zst")).unwrap();
        let image = opened.image();
        let read = layers::read(tar, &Options::default(), image.chunk_size, image.digester);
        let tree = layers::put_on(Tree::default(), read.unwrap(), 1).unwrap();
        let mut tree = kept(tree, name);
        let told = |tree: &_| -> Vec<String> {
            compare_with(opened, tree).iter().map(ToString::to_string).collect()
        };
        // Sockets come in no tar.
        assert_eq!(few(told(&tree)), socket_only(opened), "{name}");
        // And what differs is told.
        let path = TreePath::parse(b"empty-not-there").unwrap();
        tree.insert_at(&path, Inode::fifo(Meta::default())).unwrap();
        let more = told(&tree);
        assert!(more.iter().any(|line| line.ends_with("+ /empty-not-there")), "{more:?}");
    });
}

fn socket_only(opened: &Opened) -> Vec<String> {
    let mut walk = opened.tree().walk();
    let mut told = Vec::new();
    while let Some(visit) = walk.next() {
        if matches!(visit.inode.kind(), tree::Kind::Socket) {
            told.push(format!("against the other image: - {}", walk.path()));
        }
    }
    told
}

#[test]
fn unpacked_they_are_the_tree() {
    if !is_root() || samples().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let original = scan(&original(folder.path()));
    each(|name, _, opened| {
        let target = folder.path().join(name);
        let done = to_directory(opened, &target, Owners::Kept, |_| ()).unwrap();
        assert_eq!(done.skipped, 0);
        let found = scan(&target);
        let sockets: Vec<_> = socket_only(opened)
            .iter()
            .map(|line| line.replace("against the other image: -", "+"))
            .collect();
        let expected = kept(original.clone(), name);
        assert_eq!(few(differences(&expected, &found)), sockets, "{name}");
        // A target with something in it is left alone.
        let again = to_directory(opened, &target, Owners::Kept, |_| ()).unwrap_err();
        assert!(again.to_string().contains("not empty"), "{again}");
    });
}

#[test]
fn as_a_tar_they_are_the_tree_and_always_the_same_bytes() {
    each(|name, _, opened| {
        let mut tar = Vec::new();
        let sockets = to_tar(opened, &mut tar, |_| ()).unwrap();
        assert_eq!(sockets, socket_only(opened).len() as u64);
        let mut again = Vec::new();
        to_tar(opened, &mut again, |_| ()).unwrap();
        assert!(tar == again, "{name}");
        let image = opened.image();
        let read =
            layers::read(&tar[..], &Options::default(), image.chunk_size, image.digester).unwrap();
        let tree = layers::put_on(Tree::default(), read, 1).unwrap();
        let told: Vec<String> =
            compare_with(opened, &tree).iter().map(ToString::to_string).collect();
        assert_eq!(told, socket_only(opened), "{name}");
    });
}

#[test]
fn the_kernel_mounts_what_is_exported() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    each(|name, _, opened| {
        let disk = folder.path().join(format!("{name}.erofs"));
        let file = File::create_new(&disk).unwrap();
        let length = export::block(opened, &file, |_| ()).unwrap();
        assert_eq!(file.metadata().unwrap().len(), length);
        let mount = folder.path().join(format!("{name}.mount"));
        fs::create_dir(&mount).unwrap();
        let Some(_mounted) = trees::mount::erofs(&disk, &[], &mount) else { return };
        let unpacked = folder.path().join(name);
        to_directory(opened, &unpacked, Owners::Kept, |_| ()).unwrap();
        let told = few(differences(&scan(&unpacked), &scan(&mount)));
        assert_eq!(told, Vec::<String>::new(), "{name}");
    });
}

#[test]
fn every_file_is_proven_and_no_other_bytes_are() {
    each(|name, _, opened| {
        let root = opened.hashes().root();
        let mut walk = opened.tree().walk();
        let mut files = 0;
        while let Some(visit) = walk.next() {
            let path = walk.path();
            // A thousand of one kind show no more than some.
            if path.as_bytes().starts_with(b"many/") && !path.as_bytes().ends_with(b"7") {
                continue;
            }
            let proof = prove::prove(opened, &path).unwrap().to_bytes();
            let proven = prove::verify(root, &path, &proof).unwrap();
            assert_eq!(Some(proven.hash), opened.hashes().get(visit.id), "{name} {path}");
            let Some(content) = visit.inode.content() else { continue };
            files += 1;
            let mut bytes = Vec::new();
            let mut reader = image_builder::opened::ChunkReader::new(opened);
            reader.copy(content, &mut bytes).unwrap();
            prove::verify_bytes(&proven, &mut &bytes[..]).unwrap();
            bytes.push(0);
            prove::verify_bytes(&proven, &mut &bytes[..]).unwrap_err();
            bytes.pop();
            if let Some(first) = bytes.first_mut() {
                *first ^= 1;
                prove::verify_bytes(&proven, &mut &bytes[..]).unwrap_err();
            }
        }
        assert!(files > 10);
    });
}

#[test]
fn an_image_has_all_of_itself_and_little_of_another() {
    each(|name, sample, opened| {
        assert_eq!(diff::differences(opened, opened), Vec::new());
        let fetch = diff::fetch(opened, opened).unwrap();
        assert_eq!((fetch.chunks(), fetch.stored()), (0, 0), "{name}");
        let other = sample.join("../none-blake3-64k");
        let other = local::open(&bootstrap(&other), &BlobsAt::Guess).unwrap();
        if !diff::comparable(opened, &other) {
            // Little files are cut alike in both; larger ones are not.
            let fetch = diff::fetch(&other, opened).unwrap();
            assert!(fetch.chunks() > 0 && fetch.bytes() <= fetch.all_bytes, "{name}");
        }
    });
}

#[test]
fn paths_lead_to_files() {
    each(|_, _, opened| {
        let found = find::find(opened.tree(), b"/copy-of-two", Follow::Yes).unwrap();
        assert!(opened.tree()[found].content().is_some());
    });
}

/// One bit of a data blob after another, in a sample of places: each is found.
#[test]
fn flipped_bits_are_found() {
    let Some(samples) = samples() else { return };
    for name in ["zstd-sha256-toc", "zstd-batch-blake3", "none-blake3-64k", "lz4-sha256"] {
        let folder = tempfile::tempdir().unwrap();
        let sample = samples.join(name);
        let blob = fs::read_dir(sample.join("blobs")).unwrap().next().unwrap().unwrap();
        let copy = folder.path().join(blob.file_name());
        let good = fs::read(blob.path()).unwrap();
        let step = (good.len() / 40).max(1);
        for (round, at) in (0..good.len()).step_by(step).chain([good.len() - 1]).enumerate() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (round % 8);
            fs::write(&copy, &bad).unwrap();
            let at_folder = BlobsAt::Folder(folder.path().to_owned());
            let opened = local::open(&sample.join("bootstrap"), &at_folder).unwrap();
            let found = check(&opened, 1, &()).unwrap();
            assert!(!found.problems.is_empty(), "{name}: bit at {at} of {}", good.len());
        }
        // The rest is missing.
        fs::write(&copy, &good[..good.len() / 2]).unwrap();
        let at_folder = BlobsAt::Folder(folder.path().to_owned());
        let opened = local::open(&sample.join("bootstrap"), &at_folder).unwrap();
        let error = check(&opened, 1, &()).map(|found| found.problems.len());
        assert!(!matches!(error, Ok(0)), "{name}");
    }
}

#[test]
fn a_wrong_chunk_is_told_with_its_files() {
    let Some(samples) = samples() else { return };
    let sample = samples.join("none-blake3-64k");
    let folder = tempfile::tempdir().unwrap();
    let blob = fs::read_dir(sample.join("blobs")).unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(blob.path()).unwrap();
    bytes[0] ^= 1;
    fs::write(folder.path().join(blob.file_name()), &bytes).unwrap();
    let at = BlobsAt::Folder(folder.path().to_owned());
    let opened = local::open(&sample.join("bootstrap"), &at).unwrap();
    let found = check(&opened, 2, &()).unwrap();
    let files: Vec<_> = found
        .problems
        .iter()
        .filter_map(|problem| match problem {
            check::Problem::Chunk { files, .. } => Some(files.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(files.len(), 1);
    assert!(!files[0].is_empty());
    // And reading that file fails, while others are read.
    let id = opened.tree().lookup(&files[0][0]).unwrap();
    let mut reader = image_builder::opened::ChunkReader::new(&opened);
    let content = opened.tree()[id].content().unwrap();
    assert!(reader.copy(content, &mut std::io::sink()).is_err());
}
