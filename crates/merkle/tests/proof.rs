//! A proof shows what is there, nothing else, and breaks with every bit.

mod common;

use common::{Bytes, describe, hashes, names, path, trees};
use merkle::{Proof, ProofError, ProveError, What, prove};
use proptest::prelude::*;
use tree::{Inode, InodeId, Meta, Name, Path, Tree};

fn proof_of(tree: &Tree<Bytes>, at: &Path) -> Proof {
    prove(tree, &hashes(tree), at, describe).expect("it is there")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn every_name_can_be_proven_and_only_at_its_place(tree in trees()) {
        let all = hashes(&tree);
        let every: Vec<Path> = names(&tree).into_values().flatten().collect();
        for at in &every {
            let proof = proof_of(&tree, at);
            let id = tree.lookup(at).expect("there");
            let proven = proof.verify(all.root(), at).expect("it is proven");
            prop_assert_eq!(&proven.record.meta, &tree[id].meta);
            prop_assert_eq!(proven.record.links(), tree[id].links());
            prop_assert_eq!(Some(proven.hash), all.get(id));
            prop_assert_eq!(Proof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
            for other in every.iter().filter(|other| *other != at) {
                prop_assert!(proof.verify(all.root(), other).is_err());
            }
        }
    }

    #[test]
    fn every_flipped_bit_breaks_a_proof(tree in trees(), which in any::<prop::sample::Index>()) {
        let root = hashes(&tree).root();
        let every: Vec<Path> = names(&tree).into_values().flatten().collect();
        let at = which.get(&every);
        let bytes = proof_of(&tree, at).to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let shown = Proof::from_bytes(&bad).ok().and_then(|bad| bad.verify(root, at).ok());
            prop_assert_eq!(shown, None, "bit {}", bit);
        }
        for length in 0..bytes.len() {
            prop_assert!(Proof::from_bytes(&bytes[..length]).is_err());
        }
        prop_assert!(Proof::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut proof = b"MGP1".to_vec();
        proof.extend(bytes);
        if let Ok(read) = Proof::from_bytes(&proof) {
            prop_assert_eq!(read.to_bytes(), proof);
        }
    }
}

#[test]
fn what_is_not_there_cannot_be_proven() {
    let mut tree = Tree::new(Meta::implied());
    tree.insert_at(&path("d/f"), Inode::file(Meta::implied(), b"x".to_vec())).expect("it fits");
    tree.insert_at(&path("l"), Inode::symlink(Meta::implied(), b"d")).expect("it fits");
    let all = hashes(&tree);
    for missing in ["e", "d/g", "d/f/x", "l/f"] {
        let refused = prove(&tree, &all, &path(missing), describe);
        assert_eq!(refused, Err(ProveError::NoSuchFile(path(missing))));
    }
    let proof = proof_of(&tree, &path("d/f"));
    assert_eq!(proof.verify(all.root(), &path("d")), Err(ProofError::OtherPath));
    assert_eq!(proof.verify(all.root(), &path("d/g")), Err(ProofError::OtherRoot));
    let other = hashes(&Tree::new(Meta::implied()));
    assert_eq!(proof.verify(other.root(), &path("d/f")), Err(ProofError::OtherRoot));
    assert_eq!(prove(&tree, &other, &path("d/f"), describe), Err(ProveError::OtherTree));
}

/// Every shape of a directory: 1 to 70 names, each proven.
#[test]
fn every_number_of_names_makes_a_tree() {
    let mut tree = Tree::new(Meta::implied());
    for count in 1..70_usize {
        let name = Name::new(format!("{count:03}").as_bytes()).expect("a name");
        tree.insert(InodeId::ROOT, name, Inode::fifo(Meta::implied())).expect("room");
        let all = hashes(&tree);
        for number in 1..=count {
            let at = path(&format!("{number:03}"));
            let proof = prove(&tree, &all, &at, describe).expect("it is there");
            assert_eq!(proof.verify(all.root(), &at).map(|p| p.record.what), Ok(What::Fifo));
            assert_eq!(Proof::from_bytes(&proof.to_bytes()), Ok(proof));
        }
    }
}

#[test]
fn a_proof_out_of_a_hundred_thousand_names_is_small() {
    let mut tree = Tree::new(Meta::implied());
    let top = tree.insert_at(&path("d"), Inode::directory(Meta::implied())).expect("it fits");
    for number in 0..100_000 {
        let name = Name::new(format!("file-{number:06}").as_bytes()).expect("a name");
        let file = Inode::file(Meta::implied(), Vec::new());
        tree.insert(top, name, file).expect("room");
    }
    let at = path("d/file-077777");
    let bytes = proof_of(&tree, &at).to_bytes();
    println!("{} bytes", bytes.len());
    // 17 levels of 32 bytes, and the records.
    assert!(bytes.len() < 17 * 32 + 256, "{} bytes", bytes.len());
    let root = hashes(&tree).root();
    assert!(Proof::from_bytes(&bytes).is_ok_and(|proof| proof.verify(root, &at).is_ok()));
}
