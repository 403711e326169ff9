//! Trees by chance: every kind of file, awkward names, attributes, links.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tree::{Device, Inode, InodeId, Meta, Mode, Name, Time, Tree};

/// What is done to a tree.
#[derive(Clone, Debug)]
pub enum Made {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
    /// A name more for a file that is there.
    Link(prop::sample::Index),
}

/// One step: what, where, under which name, with which metadata.
#[derive(Clone, Debug)]
pub struct Step {
    made: Made,
    parent: prop::sample::Index,
    name: Vec<u8>,
    meta: Meta,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 33_u8..127, 1 => any::<u8>()]
        .prop_filter("a name has none", |byte| !matches!(byte, 0 | b'/'));
    prop_oneof![
        8 => vec(byte.clone(), 1..20),
        // Names around the dots, which are sorted among them.
        1 => Just(b".-".to_vec()),
        1 => Just(b"!".to_vec()),
        1 => vec(byte, 240..=255),
    ]
    .prop_filter("a name is none", |name| Name::new(name).is_ok())
}

fn meta() -> impl Strategy<Value = Meta> {
    let xattr = prop_oneof![
        name().prop_map(|rest| [b"user.", &rest[..]].concat()),
        Just(b"security.capability".to_vec()),
        Just(b"system.posix_acl_access".to_vec()),
        Just(b"system.posix_acl_default".to_vec()),
        Just(b"trusted.overlay.opaque".to_vec()),
    ];
    let value = prop_oneof![9 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 3900..4200)];
    let xattrs = prop_oneof![3 => Just(Default::default()), 1 => btree_map(xattr, value, 0..4)];
    (0..0o10000_u16, any::<u32>(), any::<u32>(), any::<i64>(), 0..1_000_000_000_u32, xattrs)
        .prop_map(|(mode, uid, gid, seconds, nanoseconds, xattrs)| Meta {
            mode: Mode::new(mode),
            uid,
            gid,
            mtime: Time::new(seconds, nanoseconds).unwrap(),
            xattrs,
        })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    // What is repeated compresses and is found twice; what is random does neither.
    prop_oneof![
        2 => vec(any::<u8>(), 0..100),
        2 => (any::<u8>(), 0..20_000_usize).prop_map(|(byte, length)| vec![byte; length]),
        1 => vec(any::<u8>(), 3000..10_000),
        1 => (vec(any::<u8>(), 1..50), 1..400_usize).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let not_nul = (1_u8..).prop_map(|byte| byte);
    let made = prop_oneof![
        4 => Just(Made::Directory),
        6 => content().prop_map(Made::File),
        2 => vec(not_nul.clone(), 1..100).prop_map(Made::Symlink),
        1 => vec(not_nul, 3900..=4095).prop_map(Made::Symlink),
        1 => (0..0x1000_u32, 0..0x10_0000_u32).prop_map(|(major, minor)| Made::Char(major, minor)),
        1 => (0..0x1000_u32, 0..0x10_0000_u32).prop_map(|(major, minor)| Made::Block(major, minor)),
        1 => Just(Made::Fifo),
        1 => Just(Made::Socket),
        2 => any::<prop::sample::Index>().prop_map(Made::Link),
    ];
    (made, any::<prop::sample::Index>(), name(), meta())
        .prop_map(|(made, parent, name, meta)| Step { made, parent, name, meta })
}

fn apply(tree: &mut Tree<Vec<u8>>, step: Step) {
    let directories: Vec<InodeId> =
        tree.inodes().filter(|(_, inode)| inode.is_directory()).map(|(id, _)| id).collect();
    let parent = *step.parent.get(&directories);
    let name = Name::new(&step.name).unwrap();
    let meta = step.meta;
    // What would replace a directory with all that is in it is left out.
    if tree.directory(parent).unwrap().get(&step.name).is_some() {
        return;
    }
    let device = |major, minor| Device { major, minor };
    let inode = match step.made {
        Made::Directory => Inode::directory(meta),
        Made::File(bytes) => Inode::file(meta, bytes),
        Made::Symlink(target) => Inode::symlink(meta, &target),
        Made::Char(major, minor) => Inode::char_device(meta, device(major, minor)),
        Made::Block(major, minor) => Inode::block_device(meta, device(major, minor)),
        Made::Fifo => Inode::fifo(meta),
        Made::Socket => Inode::socket(meta),
        Made::Link(which) => {
            let files: Vec<InodeId> = tree
                .inodes()
                .filter(|(_, inode)| !inode.is_directory())
                .map(|(id, _)| id)
                .collect();
            if !files.is_empty() {
                tree.link(parent, name, *which.get(&files)).unwrap();
            }
            return;
        }
    };
    tree.insert(parent, name, inode).unwrap();
}

/// A tree of up to so many files.
pub fn trees(files: usize) -> impl Strategy<Value = Tree<Vec<u8>>> {
    (meta(), vec(step(), 0..files)).prop_map(|(root, steps)| {
        let mut tree = Tree::new(root);
        for step in steps {
            apply(&mut tree, step);
        }
        tree
    })
}
