//! Trees out of nothing, and what their files' contents are.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use content::Digest;
use merkle::{Algorithm, FileContent, Hashes};
use proptest::prelude::*;
use tree::{Device, Inode, InodeId, Meta, Mode, Name, Path, Time, Tree};

pub(crate) type Bytes = Vec<u8>;

/// Chunks of four bytes, so that small files have many.
pub(crate) fn describe(content: &Bytes) -> Result<FileContent, Infallible> {
    let digests = content.chunks(4).map(|chunk| *Digest::of(chunk).as_bytes());
    Ok(FileContent::new(Algorithm::Sha256, 4, content.len() as u64, digests).unwrap())
}

pub(crate) fn hashes(tree: &Tree<Bytes>) -> Hashes {
    let Ok(hashes) = Hashes::of(tree, describe);
    hashes
}

pub(crate) fn root(tree: &Tree<Bytes>) -> Digest {
    hashes(tree).root()
}

pub(crate) fn path(text: &str) -> Path {
    Path::parse(text.as_bytes()).unwrap()
}

pub(crate) fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = prop::collection::btree_map(
        prop::collection::vec(any::<u8>(), 1..4),
        prop::collection::vec(any::<u8>(), 0..4),
        0..3,
    );
    (0..0o10000_u16, any::<u32>(), any::<u32>(), any::<i64>(), 0..1_000_000_000_u32, xattrs)
        .prop_map(|(mode, uid, gid, seconds, nanoseconds, xattrs)| Meta {
            mode: Mode::new(mode),
            uid,
            gid,
            mtime: Time::new(seconds, nanoseconds).unwrap(),
            xattrs,
        })
}

fn inode() -> impl Strategy<Value = Inode<Bytes>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let device = || (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Device { major, minor });
    prop_oneof![
        3 => (meta(), bytes()).prop_map(|(meta, content)| Inode::file(meta, content)),
        2 => meta().prop_map(Inode::directory),
        1 => (meta(), bytes()).prop_map(|(meta, target)| Inode::symlink(meta, &target)),
        1 => (meta(), device()).prop_map(|(meta, device)| Inode::char_device(meta, device)),
        1 => (meta(), device()).prop_map(|(meta, device)| Inode::block_device(meta, device)),
        1 => meta().prop_map(Inode::fifo),
        1 => meta().prop_map(Inode::socket),
    ]
}

/// A tree of a few dozen names, with hard links.
pub(crate) fn trees() -> impl Strategy<Value = Tree<Bytes>> {
    let at = || prop::collection::vec("[a-e]", 1..4).prop_map(|names| path(&names.join("/")));
    let puts = prop::collection::vec((at(), inode()), 1..24);
    let links = prop::collection::vec((any::<prop::sample::Index>(), at()), 0..6);
    (meta(), puts, links).prop_map(|(root, puts, links)| {
        let mut tree = Tree::new(root);
        for (at, inode) in puts {
            // What does not fit is left out.
            drop(tree.insert_at(&at, inode));
        }
        for (which, at) in links {
            let files: Vec<InodeId> = tree.inodes().map(|(id, _)| id).collect();
            let Some((parent, name)) = at.split() else { continue };
            let Some(parent) = tree.lookup(&parent).filter(|id| tree[*id].is_directory()) else {
                continue;
            };
            if tree.directory(parent).is_some_and(|here| here.get(name.as_bytes()).is_none()) {
                drop(tree.link(parent, name, *which.get(&files)));
            }
        }
        tree
    })
}

/// The paths of all names, by the inode that they name.
pub(crate) fn names(tree: &Tree<Bytes>) -> BTreeMap<InodeId, Vec<Path>> {
    let mut names = BTreeMap::<_, Vec<Path>>::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        names.entry(visit.id).or_default().push(walk.path());
    }
    names
}

/// A copy of `tree` where each name, inode and kind may be made another.
pub(crate) fn rebuilt(
    tree: &Tree<Bytes>,
    mut change: impl FnMut(InodeId, Inode<Bytes>) -> Inode<Bytes>,
) -> Tree<Bytes> {
    let mut copy = Tree::new(tree[InodeId::ROOT].meta.clone());
    let mut to = BTreeMap::from([(InodeId::ROOT, InodeId::ROOT)]);
    for visit in tree.walk().skip(1) {
        let name = Name::new(visit.name.unwrap().as_bytes()).unwrap();
        let parent = to[&visit.parent];
        if let Some(there) = to.get(&visit.id) {
            copy.link(parent, name, *there).unwrap();
        } else {
            let inode = change(visit.id, visit.inode.clone());
            to.insert(visit.id, copy.insert(parent, name, inode).unwrap());
        }
    }
    copy
}
