//! Inode numbers: those of FUSE and those of the image.
//!
//! FUSE calls the root 1, and knows no 0. An image's numbers are places: its root has any, and 0
//! and 1 can be of other inodes. All others are the same on both sides, and the same as the kernel's
//! EROFS shows.

use fuser::INodeNo;
use rafs::bootstrap::Nid;

/// Beyond every place in a bootstrap, which has at most 2 GiB.
const ASIDE: u64 = 1 << 62;

/// Translates for one image.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    root: Nid,
}

impl Numbers {
    /// For the image with this root.
    #[must_use]
    pub const fn new(root: Nid) -> Self {
        Self { root }
    }

    /// What the kernel calls an inode.
    #[must_use]
    pub fn of(&self, nid: Nid) -> INodeNo {
        INodeNo(match nid.0 {
            _ if nid == self.root => INodeNo::ROOT.0,
            low @ (0 | 1) => low | ASIDE,
            other => other,
        })
    }

    /// Which inode the kernel means. It need not exist.
    #[must_use]
    pub const fn nid(&self, number: INodeNo) -> Nid {
        match number.0 {
            1 => self.root,
            aside if aside & ASIDE != 0 => Nid(aside & !ASIDE),
            other => Nid(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_inode_has_one_number() {
        for root in [0, 1, 2, 128, 5000] {
            let numbers = Numbers::new(Nid(root));
            let mut seen = std::collections::HashSet::new();
            for nid in (0..200).chain([5000, 1 << 26]).map(Nid) {
                let number = numbers.of(nid);
                assert!(number.0 != 0 && seen.insert(number.0), "{nid:?}");
                assert_eq!(numbers.nid(number), nid);
                assert_eq!(number.0 == 1, nid.0 == root);
            }
        }
        assert_eq!(Numbers::new(Nid(128)).of(Nid(130)).0, 130);
    }
}
