//! Any bytes are read as a file of hashes or as a proof, or are refused: no panic, no memory for
//! what is only said, and nothing believed that the root does not say.
//!
//! Runs as a plain test; `cargo bolero test` runs the same targets under a fuzzer.

mod common;

use std::sync::LazyLock;

use common::{Bytes, describe, hashes, path};
use merkle::{Hashes, Proof, prove};
use tree::{Inode, Meta, Tree};

/// A tree with a few of everything that matters here.
fn tree() -> Tree<Bytes> {
    let mut tree = Tree::new(Meta::implied());
    for number in 0..20_u8 {
        let inode = Inode::file(Meta::implied(), vec![number; usize::from(number)]);
        tree.insert_at(&path(&format!("d{}/e/f{number}", number % 3)), inode).expect("it fits");
    }
    let xattrs = [(b"user.note".to_vec(), b"hello".to_vec())].into();
    let marked = Inode::symlink(Meta { xattrs, ..Meta::implied() }, b"there");
    let id = tree.insert_at(&path("link"), marked).expect("it fits");
    let (parent, name) = path("d1/again").split().expect("a name");
    tree.link(tree.lookup(&parent).expect("it is there"), name, id).expect("it is free");
    tree
}

/// A tree, its hashes, the file of them, and the proof of one file.
struct Good {
    tree: Tree<Bytes>,
    hashes: Hashes,
    beside: Vec<u8>,
    proof: Vec<u8>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let tree = tree();
    let hashes = hashes(&tree);
    let beside = hashes.to_bytes(&tree);
    let proof = prove(&tree, &hashes, &path("d1/e/f4"), describe).expect("it is there");
    Good { tree, hashes, beside, proof: proof.to_bytes() }
});

/// `good` with bytes changed, each so far after the one before, and cut.
fn changed(good: &[u8], changes: &[(u16, u8)], length: Option<u16>) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut at = 0;
    for (step, value) in changes {
        at = (at + usize::from(*step)) % bytes.len();
        bytes[at] = *value;
    }
    bytes.truncate(length.map_or(good.len(), usize::from));
    bytes
}

fn read_beside(bytes: &[u8]) {
    let Good { tree, hashes, beside: good, .. } = &*GOOD;
    let Ok(read) = Hashes::from_bytes(bytes, tree) else { return };
    // Nothing is lost in reading, so two files of one tree are never taken for one another.
    assert_eq!(read.to_bytes(tree), bytes);
    assert_eq!(read == *hashes, bytes == good);
}

fn read_proof(bytes: &[u8]) {
    let Good { hashes, proof: good, .. } = &*GOOD;
    let Ok(read) = Proof::from_bytes(bytes) else { return };
    let at = path("d1/e/f4");
    let proven = read.verify(hashes.root(), &at);
    assert_eq!(proven.is_ok(), bytes == good, "{proven:?}");
    assert!(read.verify(hashes.root(), &path("d1/e/f7")).is_err());
}

#[test]
fn hashes_of_any_bytes() {
    bolero::check!().for_each(read_beside);
}

#[test]
fn hashes_changed() {
    read_beside(&GOOD.beside);
    bolero::check!().with_type::<(Vec<(u16, u8)>, Option<u16>)>().for_each(|(changes, length)| {
        read_beside(&changed(&GOOD.beside, changes, *length));
    });
}

#[test]
fn proofs_of_any_bytes() {
    bolero::check!().for_each(read_proof);
}

#[test]
fn proofs_changed() {
    read_proof(&GOOD.proof);
    bolero::check!().with_type::<(Vec<(u16, u8)>, Option<u16>)>().for_each(|(changes, length)| {
        read_proof(&changed(&GOOD.proof, changes, *length));
    });
}

/// Each bit, and each length: no other proof is taken, and no other hashes of the root's own
/// children.
#[test]
fn every_flipped_bit_and_every_shorter_one() {
    for (good, read) in [(&GOOD.beside, read_beside as fn(&[u8])), (&GOOD.proof, read_proof)] {
        let mut bytes = good.clone();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            read(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            read(&bytes[..length]);
        }
        read(&[&bytes[..], b"x"].concat());
    }
}
