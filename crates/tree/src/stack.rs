//! A layer applied to what lies under it.
//!
//! The rules, as containerd and umoci unpack layers, where the order of a tar's entries does not
//! matter (OCI image-spec, "Applying Changesets"):
//!
//! 1. Whiteouts and opaque marks take away what lower layers have, never what this layer has.
//! 2. A directory over a directory takes the upper's metadata, all of it, and keeps the lower's
//!    entries. Anything else replaces what was there, with all that was in it.
//! 3. A directory that the layer only implies changes nothing of a lower directory. Over a lower
//!    symbolic link it leads where the link leads, inside the tree. Where there is nothing, it is
//!    made; over any other file the layer cannot be applied.
//! 4. A hard link to a file that only lower layers have gives that file, as it was before this
//!    layer, one more name.

use std::collections::{BTreeMap, VecDeque};

use crate::inode::{Inode, InodeId, Kind};
use crate::layer::{Implied, Layer};
use crate::meta::Meta;
use crate::name::Name;
use crate::path::Path;
use crate::resolve::ResolveError;
use crate::tree::{Tree, TreeError};
use crate::walk::Step;

/// Why a layer cannot be applied to what lies under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// A file of the upper layer lies in something that is no directory in the lower.
    #[error("the layer has files in {0}, which is not a directory under it")]
    NotADirectory(Path),
    /// The symbolic link that files of the upper layer lie behind leads nowhere.
    #[error("the layer has files behind the symbolic link {path}: {why}")]
    Link {
        /// Where the symbolic link is.
        path: Path,
        /// Why it cannot be followed.
        why: ResolveError,
    },
    /// The file that a hard link should share is in no layer, or is a directory.
    #[error("the layer hard-links {0}, and there is no such file")]
    LinkTarget(Path),
    /// The tree cannot be changed so.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The tree that `upper` makes of `lower`.
///
/// # Errors
/// If the upper layer does not fit the lower ones.
pub fn stack<C>(lower: Tree<C>, upper: Layer<C>) -> Result<Tree<C>, StackError> {
    let mut work = Stacking::new(lower, upper);
    work.hold_link_targets()?;
    work.root();
    work.drain()?;
    work.behind_symlinks = true;
    while let Some(late) = work.late.pop_front() {
        work.follow(late)?;
        work.drain()?;
    }
    for held in std::mem::take(&mut work.held).into_values() {
        work.below.release(held);
    }
    Ok(work.below)
}

/// A directory of the upper layer that a symbolic link of the lower stands for.
struct Late {
    above: InodeId,
    below: InodeId,
    name: Name,
}

struct Stacking<C> {
    below: Tree<C>,
    above: Layer<C>,
    /// Directories of the upper layer, and which directories of the lower they now are.
    pairs: Vec<(InodeId, InodeId)>,
    late: VecDeque<Late>,
    /// Where hard-linked inodes of the upper layer went.
    moved: BTreeMap<InodeId, InodeId>,
    /// Inodes of the lower layers that the upper links to, kept alive, by their paths.
    held: BTreeMap<Path, InodeId>,
    /// How many slots the lower tree had: what is numbered from here on came from the upper.
    base: usize,
    /// Whether directories may by now have entries of the upper layer that must not be hidden.
    behind_symlinks: bool,
}

impl<C> Stacking<C> {
    const fn new(below: Tree<C>, above: Layer<C>) -> Self {
        Self {
            base: below.slots(),
            below,
            above,
            pairs: Vec::new(),
            late: VecDeque::new(),
            moved: BTreeMap::new(),
            held: BTreeMap::new(),
            behind_symlinks: false,
        }
    }

    /// Finds the targets of links to lower layers before anything changes.
    fn hold_link_targets(&mut self) -> Result<(), StackError> {
        for (_, _, target) in self.above.all_lower_links() {
            if self.held.contains_key(target) {
                continue;
            }
            let found = file_at(&self.below, target)
                .ok_or_else(|| StackError::LinkTarget(target.clone()))?;
            self.below.hold(found);
            self.held.insert(target.clone(), found);
        }
        Ok(())
    }

    fn root(&mut self) {
        let explicit = self.above.implied(InodeId::ROOT).is_none();
        if let (true, Some(above)) = (explicit, self.above.get_mut(InodeId::ROOT))
            && let Some(below) = self.below.get_mut(InodeId::ROOT)
        {
            below.meta = std::mem::take(&mut above.meta);
        }
        self.pairs.push((InodeId::ROOT, InodeId::ROOT));
    }

    fn drain(&mut self) -> Result<(), StackError> {
        while let Some((above, below)) = self.pairs.pop() {
            self.hide(above, below);
            let Some(Inode { kind: Kind::Directory(directory), .. }) = self.above.take(above)
            else {
                continue;
            };
            for (name, id) in directory.entries {
                self.place(below, name, id)?;
            }
            self.link(above, below)?;
        }
        Ok(())
    }

    /// Rule 1, for one directory.
    fn hide(&mut self, above: InodeId, below: InodeId) {
        if self.above.is_opaque(above) {
            if self.behind_symlinks {
                prune(&mut self.below, below, self.base);
            } else {
                self.below.clear(below);
            }
        }
        for name in self.above.whiteouts(above) {
            let there = self.below.directory(below).and_then(|here| here.get(name.as_bytes()));
            let Some(there) = there else { continue };
            if self.behind_symlinks {
                prune(&mut self.below, there, self.base);
                let full = self.below.directory(there).is_some_and(|here| !here.is_empty());
                if there.index() >= self.base || full {
                    continue;
                }
            }
            self.below.remove(below, name.as_bytes());
        }
    }

    /// Rules 2 and 3, for one entry.
    fn place(&mut self, parent: InodeId, name: Name, above: InodeId) -> Result<(), StackError> {
        let Some(inode) = self.above.get_mut(above) else {
            // Taken by an earlier name: a hard link.
            if let Some(moved) = self.moved.get(&above) {
                self.below.link(parent, name, *moved)?;
            }
            return Ok(());
        };
        if inode.is_directory() {
            let meta = std::mem::take(&mut inode.meta);
            return match self.above.implied(above) {
                None => self.make(parent, name, above, meta),
                Some(implied) => self.place_implied(parent, name, above, implied),
            };
        }
        let Some(inode) = self.above.take(above) else { return Ok(()) };
        let linked = inode.links() > 1;
        let id = self.below.insert(parent, name, inode)?;
        if linked {
            self.moved.insert(above, id);
        }
        Ok(())
    }

    fn place_implied(
        &mut self,
        parent: InodeId,
        name: Name,
        above: InodeId,
        implied: Implied,
    ) -> Result<(), StackError> {
        let there = self.below.directory(parent).and_then(|here| here.get(name.as_bytes()));
        let kind = there.and_then(|id| Some((id, self.below.get(id)?.kind())));
        match (kind, implied) {
            (Some((id, Kind::Directory(_))), _) => self.pairs.push((above, id)),
            (Some((_, Kind::Symlink(_))), _) => {
                self.late.push_back(Late { above, below: parent, name });
            }
            (_, Implied::ByWhiteout) => {}
            (None, Implied::ByFile) => return self.make(parent, name, above, Meta::implied()),
            (Some(_), Implied::ByFile) => {
                return Err(StackError::NotADirectory(self.path(parent, &name)));
            }
        }
        Ok(())
    }

    fn make(
        &mut self,
        parent: InodeId,
        name: Name,
        above: InodeId,
        meta: Meta,
    ) -> Result<(), StackError> {
        let id = self.below.insert(parent, name, Inode::directory(meta))?;
        self.pairs.push((above, id));
        Ok(())
    }

    /// Rule 4, for one directory.
    fn link(&mut self, above: InodeId, below: InodeId) -> Result<(), StackError> {
        for (name, target) in self.above.lower_links(above) {
            if let Some(held) = self.held.get(target) {
                self.below.link(below, name.clone(), *held)?;
            }
        }
        Ok(())
    }

    /// Rule 3 over a symbolic link: after all the rest, so that it may lead to what the layer
    /// brought.
    fn follow(&mut self, late: Late) -> Result<(), StackError> {
        let found = self
            .below
            .resolve_from(late.below, late.name.as_bytes())
            .map_err(|why| StackError::Link { path: self.path(late.below, &late.name), why })?;
        if !found.missing.is_empty() && self.above.implied(late.above) == Some(Implied::ByWhiteout)
        {
            return Ok(());
        }
        let mut at = found.directory;
        for name in found.missing {
            at = self.below.insert(at, name, Inode::directory(Meta::implied()))?;
        }
        self.pairs.push((late.above, at));
        Ok(())
    }

    fn path(&self, parent: InodeId, name: &Name) -> Path {
        self.below.path_of(parent).unwrap_or_default().join(name)
    }
}

/// The file at `path`, no directory; symbolic links on the way are followed, the last part is not.
fn file_at<C>(tree: &Tree<C>, path: &Path) -> Option<InodeId> {
    let (parent, name) = path.split()?;
    let parent = tree.resolve(&parent).ok().filter(|found| found.missing.is_empty())?;
    let id = tree.directory(parent.directory)?.get(name.as_bytes())?;
    tree.get(id).filter(|inode| !inode.is_directory()).map(|_| id)
}

/// Takes away what is in the directory `top` and numbered below `base`; directories stay that
/// still have something in them.
fn prune<C>(tree: &mut Tree<C>, top: InodeId, base: usize) {
    let entries = tree.steps_from(top).filter_map(|step| match step {
        Step::Enter(visit) if visit.inode.is_directory() => None,
        // A directory is told at its end: after all that is in it.
        Step::Enter(visit) | Step::Leave(visit) => Some((visit.parent, visit.name?, visit.id)),
    });
    let old: Vec<(InodeId, Name)> = entries
        .filter(|(_, _, id)| id.index() < base)
        .map(|(parent, name, _)| (parent, name.clone()))
        .collect();
    for (parent, name) in old {
        let there = tree.directory(parent).and_then(|here| here.get(name.as_bytes()));
        let full = there.and_then(|id| tree.directory(id)).is_some_and(|here| !here.is_empty());
        if !full {
            tree.remove(parent, name.as_bytes());
        }
    }
}
