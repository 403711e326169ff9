//! The names of a directory, or of all that is under it.

use tree::{InodeId, Path, Step};

use crate::opened::Opened;

/// How far down names are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What was asked for, and nothing in it.
    Itself,
    /// The names in a directory.
    Entries,
    /// All that is under it.
    All,
}

/// Tells `each` what is at and under `id`, whose path is `path`, sorted. Whatever is no directory
/// is told itself. Ends when `each` says false.
pub fn list(
    opened: &Opened,
    id: InodeId,
    path: &Path,
    depth: Depth,
    mut each: impl FnMut(InodeId, &[u8]) -> bool,
) {
    let tree = opened.tree();
    if depth == Depth::Itself || tree.directory(id).is_none() {
        each(id, path.as_bytes());
        return;
    }
    let mut steps = tree.steps_from(id);
    while let Some(step) = steps.next() {
        let Step::Enter(visit) = step else { continue };
        if visit.name.is_some() {
            let mut at = path.as_bytes().to_vec();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(steps.path());
            if !each(visit.id, &at) {
                return;
            }
            if depth == Depth::Entries && visit.inode.is_directory() {
                // `Iterator` has a `skip` too.
                steps.pass_over();
            }
        }
    }
}
