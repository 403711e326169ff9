//! Making a proof, with the tree at hand.

use content::Digest;
use tree::{InodeId, Path, Tree};

use crate::hash::{self, List};
use crate::hashes::{self, Hashes};
use crate::proof::{Level, Proof};
use crate::record::FileContent;

/// Why nothing can be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// There is nothing at the path. Symbolic links are not followed.
    #[error("there is no {0} in the tree")]
    NoSuchFile(Path),
    /// The hashes are another tree's.
    #[error("the hashes do not belong to this tree")]
    OtherTree,
    /// A file's content could not be told.
    #[error(transparent)]
    Content(E),
}

/// The proof of what is at `path`: a file, or a directory with all that is in it.
///
/// It takes a hash of each name in the directories on the way. `describe` is what
/// [`Hashes::of`] was given, and is asked at most once.
///
/// # Errors
/// If there is nothing at the path.
pub fn prove<C, E>(
    tree: &Tree<C>,
    hashes: &Hashes,
    path: &Path,
    mut describe: impl FnMut(&C) -> Result<FileContent, E>,
) -> Result<Proof, ProveError<E>> {
    let missing = || ProveError::NoSuchFile(path.clone());
    let mut levels = Vec::new();
    let mut at = InodeId::ROOT;
    for name in path.names() {
        let directory = tree.directory(at).ok_or_else(missing)?;
        let index = directory.iter().position(|(other, _)| other.as_bytes() == name);
        let index = index.ok_or_else(missing)?;
        let leaves = hashes.leaves(tree, at).ok_or(ProveError::OtherTree)?;
        levels.push(Level {
            meta: tree[at].meta.clone(),
            entries: leaves.len() as u64,
            index: index as u64,
            beside: hash::siblings(&leaves, index),
        });
        at = directory.get(name).ok_or_else(missing)?;
    }
    let inode = tree.get(at).ok_or(ProveError::OtherTree)?;
    let what = hashes::what(inode, top(tree, hashes, at), &mut describe);
    let what = what.map_err(ProveError::Content)?;
    let first = if inode.links() > 1 { first_path(tree, at) } else { Path::root() };
    let target = hashes::record(inode, what, first.as_bytes());
    if hashes.get(at) != Some(target.hash()) {
        return Err(ProveError::OtherTree);
    }
    Ok(Proof { levels, target })
}

/// The top over a directory's names; for any other file it is not used.
fn top<C>(tree: &Tree<C>, hashes: &Hashes, id: InodeId) -> Digest {
    hashes.leaves(tree, id).unwrap_or_default().into_iter().collect::<List>().top()
}

/// The first of a hard-linked file's names in walking order.
fn first_path<C>(tree: &Tree<C>, id: InodeId) -> Path {
    let mut walk = tree.walk();
    walk.find(|visit| visit.id == id);
    walk.path()
}
