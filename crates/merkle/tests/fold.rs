//! The root of a tree that is nowhere whole is the root of the same tree in memory.

mod common;

use std::collections::HashMap;

use common::{Bytes, describe, root, trees};
use merkle::{Fold, What};
use proptest::prelude::*;
use tree::{Inode, Kind, Step, Tree};

fn what(inode: &Inode<Bytes>) -> What {
    match inode.kind() {
        Kind::File(content) => {
            let Ok(content) = describe(content);
            What::File(content)
        }
        Kind::Symlink(target) => What::Symlink(target.to_vec()),
        Kind::CharDevice(device) => What::CharDevice(*device),
        Kind::BlockDevice(device) => What::BlockDevice(*device),
        Kind::Socket => What::Socket,
        Kind::Fifo | Kind::Directory(_) => What::Fifo,
    }
}

fn folded(tree: &Tree<Bytes>) -> Option<content::Digest> {
    let (mut fold, mut linked) = (Fold::default(), HashMap::new());
    for step in tree.steps() {
        let Step::Enter(visit) = step else {
            fold.leave();
            continue;
        };
        let name = visit.name.map_or(&b""[..], |name| name.as_bytes());
        if visit.inode.is_directory() {
            fold.enter(name, visit.inode.meta.clone());
        } else if let Some(hash) = linked.get(&visit.id) {
            fold.again(name, hash);
        } else {
            let inode = visit.inode;
            let hash = fold.leaf(name, inode.meta.clone(), inode.links(), what(inode));
            linked.insert(visit.id, hash);
        }
    }
    fold.root()
}

proptest! {
    #[test]
    fn a_folded_root_is_the_root(tree in trees()) {
        prop_assert_eq!(folded(&tree), Some(root(&tree)));
    }
}

#[test]
fn what_was_not_left_has_no_root() {
    let mut fold = Fold::default();
    fold.enter(b"", tree::Meta::default());
    assert_eq!(fold.root(), None);
    fold.leave();
    assert_eq!(fold.root(), Some(root(&Tree::new(tree::Meta::default()))));
    // More ends than beginnings change nothing.
    fold.leave();
    assert!(fold.root().is_some());
}
