//! The hashes as a file that travels beside an image's bootstrap.
//!
//! ```text
//! 8 bytes   "MGMERKLE"
//! u32       version, 1
//! u32       inodes
//! 32 bytes  the root
//! 32 bytes  for each inode its hash, in walking order; a hard-linked inode stands where its
//!           first name is
//! ```
//!
//! Little-endian. 32 bytes an inode that do not compress: for a system of 60 000 files 1.9 MB.
//! Whoever has the tree can compute them; what the file saves is that, and what it allows is to
//! compare two images without the metadata of both.

use content::Digest;
use tree::{InodeId, Tree};

use crate::decode::{Cursor, DecodeError};
use crate::hashes::Hashes;

const MAGIC: &[u8; 8] = b"MGMERKLE";
const VERSION: u32 = 1;

/// Why a file of hashes is not the one of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BesideError {
    /// It is no such file.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It has hashes for another number of inodes.
    #[error("there are {told} hashes for {inodes} files")]
    Count {
        /// How many hashes there are.
        told: usize,
        /// How many inodes the tree has.
        inodes: usize,
    },
    /// The root that it tells is not the one of its hashes.
    #[error("the hashes do not lead to the root beside them")]
    Root,
}

impl Hashes {
    /// The file of hashes for `tree`, whose hashes these are.
    #[must_use]
    pub fn to_bytes<C>(&self, tree: &Tree<C>) -> Vec<u8> {
        let mut hashes = Vec::<u8>::with_capacity(tree.len().saturating_mul(32));
        first_visits(tree, |id| {
            // Whatever the tree has was hashed.
            hashes.extend(self.get(id).unwrap_or_else(|| self.root()).as_bytes());
        });
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend(u32::try_from(tree.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.root().as_bytes());
        out.extend(hashes);
        out
    }

    /// Reads the file of hashes for `tree`. Only the root is checked against the root directory's
    /// hash: the rest is as good as whoever wrote it, until it was compared with [`Hashes::of`].
    ///
    /// # Errors
    /// If it is no such file, or another tree's.
    pub fn from_bytes<C>(bytes: &[u8], tree: &Tree<C>) -> Result<Self, BesideError> {
        let mut from = Cursor::new(bytes);
        if from.bytes(MAGIC.len())? != MAGIC || from.u32()? != VERSION {
            return Err(DecodeError("no file of hashes of this version").into());
        }
        let count = from.u32()?;
        let root = from.digest()?;
        let (hashes, odd) = from.rest().as_chunks::<32>();
        if !odd.is_empty() || u32::try_from(hashes.len()) != Ok(count) {
            return Err(DecodeError("its length is not what its head says").into());
        }
        if hashes.len() != tree.len() {
            return Err(BesideError::Count { told: hashes.len(), inodes: tree.len() });
        }
        let mut by_inode = vec![Digest::from_bytes([0; 32]); tree.slots()];
        let mut hashes = hashes.iter();
        first_visits(tree, |id| {
            if let (Some(slot), Some(hash)) = (by_inode.get_mut(id.index()), hashes.next()) {
                *slot = Digest::from_bytes(*hash);
            }
        });
        let read = Self::from_table(by_inode);
        if read.root() == root { Ok(read) } else { Err(BesideError::Root) }
    }
}

/// Every inode once, in walking order.
fn first_visits<C>(tree: &Tree<C>, mut f: impl FnMut(InodeId)) {
    let mut linked = std::collections::BTreeSet::new();
    for visit in tree.walk() {
        if visit.inode.links() <= 1 || linked.insert(visit.id) {
            f(visit.id);
        }
    }
}
