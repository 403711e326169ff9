//! A small image with one of everything.

use rafs::{ChunkSize, Compressor};
use tree::{Device, Inode, InodeId, Meta, Name, Tree};

use super::build::{Built, Options, build};

fn name(text: &[u8]) -> Name {
    Name::new(text).unwrap()
}

/// The tree.
pub fn tree() -> Tree<Vec<u8>> {
    let mut tree = Tree::new(Meta::implied());
    let root = InodeId::ROOT;
    let xattrs = [(b"user.note".to_vec(), b"hello".to_vec())].into();
    let meta = Meta { xattrs, ..Meta::implied() };
    let file = tree.insert(root, name(b"file"), Inode::file(meta, b"abc".repeat(4000))).unwrap();
    tree.link(root, name(b"link"), file).unwrap();
    let device = Device { major: 7, minor: 300 };
    let plain = Meta::implied;
    for (text, inode) in [
        ("small", Inode::file(plain(), b"small".to_vec())),
        ("empty", Inode::file(plain(), Vec::new())),
        ("symlink", Inode::symlink(plain(), b"file")),
        ("char", Inode::char_device(plain(), device)),
        ("block", Inode::block_device(plain(), device)),
        ("fifo", Inode::fifo(plain())),
        ("socket", Inode::socket(plain())),
    ] {
        tree.insert(root, name(text.as_bytes()), inode).unwrap();
    }
    let one = tree.insert(root, name(b"one"), Inode::directory(plain())).unwrap();
    tree.insert(root, name(b"two"), Inode::directory(plain())).unwrap();
    tree.insert(one, name(b"inner"), Inode::directory(plain())).unwrap();
    tree
}

/// The image.
pub fn image(batched: bool) -> Built {
    let batch_size = ChunkSize::new(4096).filter(|_| batched);
    build(&tree(), Options { compressor: Compressor::Zstd, batch_size, ..Options::default() })
}
