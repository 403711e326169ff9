//! SHA-256 with a tag for each use, and the binary tree over a list.
//!
//! The tree over a list has the shape of RFC 9162, section 2.1.1: the left half has as many leaves
//! as the greatest power of two below their number. So the number of leaves fixes the shape, and a
//! leaf's index its way to the top.

use content::{BlobHasher, Digest};

/// What a hash is over: its first byte, so that no two uses ever hash the same bytes.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Tag {
    /// The digest of one chunk of a file.
    Chunk = 0,
    /// Two halves of a list.
    Branch = 1,
    /// A list of nothing.
    Nothing = 2,
    /// A name in a directory, and what it names.
    Entry = 3,
    /// An inode.
    Inode = 4,
    /// The first path of a hard-linked inode.
    Group = 5,
    /// The root of all.
    Root = 6,
}

/// The hash over a tag and what follows it.
pub(crate) fn tagged(tag: Tag, parts: &[&[u8]]) -> Digest {
    let mut hasher = BlobHasher::new();
    hasher.update(&[tag as u8]);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// One chunk's leaf.
pub(crate) fn chunk(digest: &[u8; 32]) -> Digest {
    tagged(Tag::Chunk, &[digest])
}

/// One name's leaf. A name is at most 255 bytes long, so one byte says its length.
pub(crate) fn entry(name: &[u8], inode: &Digest) -> Digest {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    tagged(Tag::Entry, &[&[length], name, inode.as_bytes()])
}

/// The root of all, over the hash of the root directory.
pub(crate) fn root(inode: &Digest) -> Digest {
    // The version stands here: another way to hash makes another root of everything.
    tagged(Tag::Root, &[b"meganeura merkle tree 1", inode.as_bytes()])
}

fn branch(left: &Digest, right: &Digest) -> Digest {
    tagged(Tag::Branch, &[left.as_bytes(), right.as_bytes()])
}

/// The top of the tree over a list, from its leaves in order; holds one hash for each level.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// Tops of complete subtrees, the biggest first, with how many leaves each has.
    tops: Vec<(u64, Digest)>,
}

impl List {
    pub(crate) fn push(&mut self, leaf: Digest) {
        let mut top = (1_u64, leaf);
        while let Some((size, left)) = self.tops.pop_if(|(size, _)| *size == top.0) {
            top = (size.saturating_mul(2), branch(&left, &top.1));
        }
        self.tops.push(top);
    }

    /// The top over all leaves.
    pub(crate) fn top(mut self) -> Digest {
        let Some((_, mut top)) = self.tops.pop() else { return tagged(Tag::Nothing, &[]) };
        while let Some((_, left)) = self.tops.pop() {
            top = branch(&left, &top);
        }
        top
    }
}

impl FromIterator<Digest> for List {
    fn from_iter<I: IntoIterator<Item = Digest>>(leaves: I) -> Self {
        let mut list = Self::default();
        leaves.into_iter().for_each(|leaf| list.push(leaf));
        list
    }
}

/// The hashes beside the way of leaf `index` to the top, from the bottom up.
pub(crate) fn siblings(leaves: &[Digest], index: usize) -> Vec<Digest> {
    let (mut rest, mut index) = (leaves, index);
    let mut beside = Vec::new();
    while rest.len() > 1 {
        // The greatest power of two below the length.
        let half = rest.len().next_power_of_two() / 2;
        let (left, right) = rest.split_at(half);
        let other;
        (rest, other, index) =
            if index < half { (left, right, index) } else { (right, left, index - half) };
        beside.push(other.iter().copied().collect::<List>().top());
    }
    beside.reverse();
    beside
}

/// How many hashes stand beside the way of leaf `index` of `count`; `None` if there is no such
/// leaf.
pub(crate) fn siblings_of(index: u64, count: u64) -> Option<usize> {
    let mut last = count.checked_sub(1).filter(|last| index <= *last)?;
    let (mut at, mut levels) = (index, 0_usize);
    while last > 0 {
        // The last of a level with an odd number goes up alone.
        if at != last || at % 2 == 1 {
            levels = levels.saturating_add(1);
        }
        (at, last) = (at / 2, last / 2);
    }
    Some(levels)
}

/// The top that `leaf`, the one at `index` of `count`, and the hashes beside its way lead to;
/// `None` if their number is not the one that there must be.
pub(crate) fn top_from(leaf: Digest, index: u64, count: u64, beside: &[Digest]) -> Option<Digest> {
    if siblings_of(index, count)? != beside.len() {
        return None;
    }
    let (mut at, mut last) = (index, count.checked_sub(1)?);
    let (mut top, mut beside) = (leaf, beside.iter());
    while last > 0 {
        if at % 2 == 1 {
            top = branch(beside.next()?, &top);
        } else if at != last {
            top = branch(&top, beside.next()?);
        }
        (at, last) = (at / 2, last / 2);
    }
    Some(top)
}
