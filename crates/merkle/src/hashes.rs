//! Every inode's hash, and the root.

use content::Digest;
use tree::{Inode, InodeId, Kind, Step, Tree};

use crate::hash::{self, List};
use crate::record::{FileContent, Names, Record, What};

/// The hash of every inode of one tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashes {
    /// By [`InodeId::index`]; zero where the tree has nothing.
    by_inode: Vec<Digest>,
    root: Digest,
}

/// No inode's hash: nobody finds bytes that hash to zero.
const NONE: Digest = Digest::from_bytes([0; 32]);

impl Hashes {
    /// Hashes all of `tree`. `describe` says each regular file's content, and is asked once for
    /// each, in walking order.
    ///
    /// # Errors
    /// The first error of `describe`.
    pub fn of<C, E>(
        tree: &Tree<C>,
        mut describe: impl FnMut(&C) -> Result<FileContent, E>,
    ) -> Result<Self, E> {
        let mut by_inode = vec![NONE; tree.slots()];
        let mut open: Vec<List> = Vec::new();
        let mut steps = tree.steps();
        while let Some(step) = steps.next() {
            let (visit, top) = match step {
                Step::Enter(visit) if visit.inode.is_directory() => {
                    open.push(List::default());
                    continue;
                }
                Step::Enter(visit) => (visit, NONE),
                Step::Leave(visit) => (visit, open.pop().unwrap_or_default().top()),
            };
            let Some(slot) = by_inode.get_mut(visit.id.index()) else { continue };
            if *slot == NONE {
                let what = what(visit.inode, top, &mut describe)?;
                *slot = record(visit.inode, what, steps.path()).hash();
            }
            if let (Some(name), Some(list)) = (visit.name, open.last_mut()) {
                list.push(hash::entry(name.as_bytes(), slot));
            }
        }
        Ok(Self::from_table(by_inode))
    }

    pub(crate) fn from_table(by_inode: Vec<Digest>) -> Self {
        let root = by_inode.get(InodeId::ROOT.index()).map_or(NONE, hash::root);
        Self { by_inode, root }
    }

    /// The root: what an image's manifest says of the whole tree.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The hash of one inode; a directory's is over all that is in it, so two directories with one
    /// hash are the same. `None` if the tree has no such inode.
    #[must_use]
    pub fn get(&self, id: InodeId) -> Option<Digest> {
        self.by_inode.get(id.index()).copied().filter(|hash| *hash != NONE)
    }

    /// The leaves of a directory, in the order of its names.
    pub(crate) fn leaves<C>(&self, tree: &Tree<C>, directory: InodeId) -> Option<Vec<Digest>> {
        let entries = tree.directory(directory)?.iter();
        entries.map(|(name, id)| Some(hash::entry(name.as_bytes(), &self.get(*id)?))).collect()
    }
}

/// What an inode is, for its record.
pub(crate) fn what<C, E>(
    inode: &Inode<C>,
    top: Digest,
    describe: &mut impl FnMut(&C) -> Result<FileContent, E>,
) -> Result<What, E> {
    Ok(match inode.kind() {
        Kind::Directory(directory) => What::Directory { entries: directory.len() as u64, top },
        Kind::File(content) => What::File(describe(content)?),
        Kind::Symlink(target) => What::Symlink(target.to_vec()),
        Kind::CharDevice(device) => What::CharDevice(*device),
        Kind::BlockDevice(device) => What::BlockDevice(*device),
        Kind::Fifo => What::Fifo,
        Kind::Socket => What::Socket,
    })
}

/// The record of an inode whose first name is at `first`.
pub(crate) fn record<C>(inode: &Inode<C>, what: What, first: &[u8]) -> Record {
    Record { meta: inode.meta.clone(), names: Names::new(inode.links(), first), what }
}
