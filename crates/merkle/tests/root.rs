//! The root says everything, and the same of the same tree.

mod common;

use common::{Bytes, describe, hashes, path, rebuilt, root, trees};
use merkle::{Algorithm, FileContent, Hashes};
use proptest::prelude::*;
use tree::{Device, Inode, InodeId, Kind, Meta, Mode, Name, Time, Tree};

fn with(inode: &Inode<Bytes>, meta: Meta) -> Inode<Bytes> {
    let mut other = inode.clone();
    other.meta = meta;
    other
}

/// Every inode that differs from this one in one thing.
fn neighbours(inode: &Inode<Bytes>) -> Vec<Inode<Bytes>> {
    let meta = inode.meta.clone();
    let moved = Time::new(meta.mtime.seconds(), meta.mtime.nanoseconds() ^ 1).expect("in range");
    let later = Time::new(meta.mtime.seconds() ^ 1, meta.mtime.nanoseconds()).expect("in range");
    let mut metas = vec![
        Meta { mode: Mode::new(meta.mode.bits() ^ 0o4000), ..meta.clone() },
        Meta { mode: Mode::new(meta.mode.bits() ^ 1), ..meta.clone() },
        Meta { uid: meta.uid ^ 1, ..meta.clone() },
        Meta { gid: meta.gid ^ 0x8000_0000, ..meta.clone() },
        Meta { uid: meta.gid ^ 7, gid: meta.uid ^ 7, ..meta.clone() },
        Meta { mtime: moved, ..meta.clone() },
        Meta { mtime: later, ..meta.clone() },
    ];
    let mut more = meta.clone();
    more.xattrs.insert(b"user.more".to_vec(), Vec::new());
    metas.push(more);
    for name in meta.xattrs.keys() {
        let mut other = meta.clone();
        other.xattrs.entry(name.clone()).or_default().push(0);
        metas.push(other);
        let mut less = meta.clone();
        less.xattrs.remove(name);
        metas.push(less);
    }
    let mut others: Vec<_> = metas.into_iter().map(|meta| with(inode, meta)).collect();
    others.extend(other_kinds(inode));
    others
}

fn other_kinds(inode: &Inode<Bytes>) -> Vec<Inode<Bytes>> {
    let meta = || inode.meta.clone();
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    match inode.kind() {
        Kind::File(content) => {
            let mut others = vec![Inode::file(meta(), longer(content))];
            for at in 0..content.len() {
                let mut other = content.clone();
                other[at] ^= 0x10;
                others.push(Inode::file(meta(), other));
            }
            others
        }
        Kind::Symlink(target) => vec![Inode::symlink(meta(), &longer(target))],
        Kind::CharDevice(device) => vec![
            Inode::block_device(meta(), *device),
            Inode::char_device(meta(), Device { major: device.major ^ 1, ..*device }),
            Inode::char_device(meta(), Device { minor: device.minor ^ 1, ..*device }),
        ],
        Kind::BlockDevice(device) => vec![
            Inode::char_device(meta(), *device),
            Inode::block_device(
                meta(),
                Device { major: device.minor ^ 1, minor: device.major ^ 1 },
            ),
        ],
        Kind::Fifo => vec![Inode::socket(meta()), Inode::file(meta(), Vec::new())],
        Kind::Socket => vec![Inode::fifo(meta()), Inode::symlink(meta(), b"")],
        Kind::Directory(_) => Vec::new(),
    }
}

fn names(tree: &Tree<Bytes>) -> Vec<(InodeId, Name, InodeId)> {
    tree.walk().filter_map(|v| Some((v.parent, v.name?.clone(), v.id))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_same_tree_has_the_same_root(tree in trees()) {
        // The copy has other inode numbers: they are not hashed.
        prop_assert_eq!(root(&rebuilt(&tree, |_, inode| inode)), root(&tree));
    }

    #[test]
    fn every_change_of_a_file_changes_the_root(tree in trees(), which in any::<prop::sample::Index>()) {
        let ids: Vec<InodeId> = tree.inodes().map(|(id, _)| id).collect();
        let id = *which.get(&ids);
        let before = hashes(&tree);
        for other in neighbours(&tree[id]) {
            if other == tree[id] {
                continue;
            }
            let changed = if id == InodeId::ROOT {
                let mut changed = tree.clone();
                changed.get_mut(id).expect("there").meta = other.meta;
                changed
            } else {
                rebuilt(&tree, |at, inode| if at == id { other.clone() } else { inode })
            };
            prop_assert_ne!(root(&changed), before.root());
        }
    }

    #[test]
    fn every_change_of_a_name_changes_the_root(tree in trees(), which in any::<prop::sample::Index>()) {
        let all = names(&tree);
        prop_assume!(!all.is_empty());
        let (parent, name, id) = which.get(&all).clone();
        let mut less = tree.clone();
        less.remove(parent, name.as_bytes());
        prop_assert_ne!(root(&less), root(&tree));

        if !tree[id].is_directory() {
            let mut renamed = tree.clone();
            let longer = Name::new(&[name.as_bytes(), b"!"].concat()).expect("a name");
            renamed.link(parent, longer, id).expect("it fits");
            prop_assert_ne!(root(&renamed), root(&tree), "one name more");
            renamed.remove(parent, name.as_bytes());
            prop_assert_ne!(root(&renamed), root(&tree), "another name");
        }
    }

    #[test]
    fn equal_files_are_not_hard_links(tree in trees()) {
        let mut twice = tree.clone();
        let z = |text: &[u8]| Name::new(text).expect("a name");
        let file = Inode::file(Meta::implied(), b"same".to_vec());
        let one = twice.insert(InodeId::ROOT, z(b"one"), file.clone()).expect("room");
        let mut linked = twice.clone();
        linked.link(InodeId::ROOT, z(b"two"), one).expect("room");
        twice.insert(InodeId::ROOT, z(b"two"), file).expect("room");
        prop_assert_ne!(root(&linked), root(&twice));
    }

    #[test]
    fn the_hashes_travel(tree in trees(), flip in any::<prop::sample::Index>()) {
        let all = hashes(&tree);
        let bytes = all.to_bytes(&tree);
        prop_assert_eq!(bytes.len(), 48 + 32 * tree.len());
        let read = Hashes::from_bytes(&bytes, &tree).expect("what was written");
        prop_assert_eq!(&read, &all);
        let at = flip.index(bytes.len() * 8);
        let mut bad = bytes.clone();
        bad[at / 8] ^= 1 << (at % 8);
        prop_assert_ne!(Hashes::from_bytes(&bad, &tree).ok(), Some(all));
        prop_assert!(Hashes::from_bytes(&bytes[..bytes.len() - 1], &tree).is_err());
        prop_assert!(Hashes::from_bytes(&[&bytes[..], &[0; 32]].concat(), &tree).is_err());
    }
}

#[test]
fn who_is_linked_with_whom_is_in_the_root() {
    // Two pairs of equal files: a with b and c with d, or a with c and b with d.
    let pairs = |first: [&[u8]; 2], second: [&[u8]; 2]| {
        let mut tree = Tree::new(Meta::implied());
        for pair in [first, second] {
            let [one, two] = pair.map(|name| Name::new(name).expect("a name"));
            let file = Inode::file(Meta::implied(), Vec::new());
            let id = tree.insert(InodeId::ROOT, one, file).expect("room");
            tree.link(InodeId::ROOT, two, id).expect("room");
        }
        root(&tree)
    };
    assert_ne!(pairs([b"a", b"b"], [b"c", b"d"]), pairs([b"a", b"c"], [b"b", b"d"]));
    assert_eq!(pairs([b"a", b"b"], [b"c", b"d"]), pairs([b"d", b"c"], [b"b", b"a"]));
}

#[test]
fn a_subtree_has_the_same_hash_wherever_it_is() {
    let mut tree = Tree::new(Meta::implied());
    for at in ["a/x/1", "a/x/2", "b/c/x/1", "b/c/x/2"] {
        let file = Inode::file(Meta::implied(), at.as_bytes()[at.len() - 1..].to_vec());
        tree.insert_at(&path(at), file).expect("it fits");
    }
    let all = hashes(&tree);
    let hash = |at: &str| all.get(tree.lookup(&path(at)).expect("there"));
    assert_eq!(hash("a/x"), hash("b/c/x"));
    assert_ne!(hash("a"), hash("b"));
}

#[test]
fn a_content_has_as_many_digests_as_chunks() {
    let of = |size, digests| {
        FileContent::new(Algorithm::Blake3, 4096, size, vec![[7; 32]; digests]).is_some()
    };
    assert!(of(0, 0) && of(1, 1) && of(4096, 1) && of(4097, 2));
    assert!(!of(0, 1) && !of(1, 0) && !of(4096, 2) && !of(4097, 1));
    assert!(FileContent::new(Algorithm::Sha256, 0, 0, []).is_none());
    assert_ne!(
        FileContent::new(Algorithm::Sha256, 4096, 1, [[7; 32]]),
        FileContent::new(Algorithm::Blake3, 4096, 1, [[7; 32]])
    );
}

#[test]
fn an_error_of_the_describer_is_handed_on() {
    let mut tree = Tree::new(Meta::implied());
    tree.insert_at(&path("a"), Inode::file(Meta::implied(), ())).expect("it fits");
    assert_eq!(Hashes::of(&tree, |()| Err("no")), Err("no"));
}

/// The whole encoding, fixed, with roots that another program computed from `docs/merkle.md`: another root for the same tree would break every image.
#[test]
fn the_encoding_does_not_change() {
    let mut tree = Tree::new(Meta::implied());
    let mut meta = Meta { mode: Mode::new(0o4755), uid: 1, gid: 2, ..Meta::default() };
    meta.xattrs.insert(b"user.a".to_vec(), b"v".to_vec());
    tree.insert_at(&path("bin/a"), Inode::file(meta, b"content".to_vec())).expect("it fits");
    tree.insert_at(&path("bin/l"), Inode::symlink(Meta::default(), b"a")).expect("it fits");
    let device = Device { major: 1, minor: 3 };
    tree.insert_at(&path("null"), Inode::char_device(Meta::default(), device)).expect("it fits");
    let a = tree.lookup(&path("bin/a")).expect("there");
    tree.link(InodeId::ROOT, Name::new(b"b").expect("a name"), a).expect("it fits");
    assert_eq!(
        root(&tree).to_hex(),
        "c09373a5280a607d10169cf08b75675a662f5d58ccc3e1fa3ec0d37363a46a5e"
    );
    let nothing = Tree::new(Meta::default());
    let Ok(nothing) = Hashes::of(&nothing, describe);
    assert_eq!(
        nothing.root().to_hex(),
        "e7f4a2f3e0c0a0a090e3cb1aebadf76ba7835ec01fc95b4eb3ad88b8fde185ba"
    );
}
