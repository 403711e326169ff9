//! What one layer of an image says.
//!
//! A layer's tar names files that are there, files of lower layers that are not (`.wh.NAME`), and
//! directories that hide all that lower layers have in them (`.wh..wh..opq`; OCI image-spec,
//! "Whiteouts"). Three more things must be kept, or the layers could not be stacked as containerd
//! and umoci unpack them:
//!
//! - which directories are only *implied* by what is in them: over a lower directory they change
//!   nothing, and over a lower symbolic link they lead where it leads;
//! - hard links to files that only a lower layer has;
//! - directories that took the place of another file of the same layer: nothing of a lower
//!   directory shows through. They are marked opaque.

use std::collections::{BTreeMap, BTreeSet};

use crate::inode::{Directory, Inode, InodeId};
use crate::meta::Meta;
use crate::name::Name;
use crate::path::Path;
use crate::tree::{Tree, TreeError};

/// Why a directory is in a layer that does not list it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Implied {
    /// A file lies in it. It is made where there is none.
    ByFile,
    /// Only whiteouts and opaque marks lie in it, so it is not made: umoci does neither.
    ByWhiteout,
}

/// Why a layer cannot say that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The tree cannot be changed so.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A hard link to itself.
    #[error("{0} is a hard link to itself")]
    LinkToItself(Path),
    /// The root would be hidden, or be a hard link.
    #[error("the root of a layer can be neither hidden nor a link")]
    Root,
}

/// One layer of an image: a tree, and what it does to the layers under it.
#[derive(Clone, Debug)]
pub struct Layer<C> {
    tree: Tree<C>,
    implied: BTreeMap<InodeId, Implied>,
    whiteouts: BTreeMap<InodeId, BTreeSet<Name>>,
    opaque: BTreeSet<InodeId>,
    lower_links: BTreeMap<InodeId, BTreeMap<Name, Path>>,
}

impl<C> Default for Layer<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Layer<C> {
    /// A layer that says nothing: its root is implied.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tree: Tree::new(Meta::implied()),
            implied: BTreeMap::from([(InodeId::ROOT, Implied::ByFile)]),
            whiteouts: BTreeMap::new(),
            opaque: BTreeSet::new(),
            lower_links: BTreeMap::new(),
        }
    }

    /// The files that are there, hard links to lower layers aside.
    #[must_use]
    pub const fn tree(&self) -> &Tree<C> {
        &self.tree
    }

    /// The inode `id` of [`Self::tree`], to change what it says.
    pub fn get_mut(&mut self, id: InodeId) -> Option<&mut Inode<C>> {
        self.tree.get_mut(id)
    }

    /// Why the directory `id` is there although the layer does not list it; `None` if it does.
    #[must_use]
    pub fn implied(&self, id: InodeId) -> Option<Implied> {
        self.implied.get(&id).copied()
    }

    /// Which names of lower layers are hidden in the directory `id`, sorted.
    pub fn whiteouts(&self, id: InodeId) -> impl Iterator<Item = &Name> {
        self.whiteouts.get(&id).into_iter().flatten()
    }

    /// Whether all is hidden that lower layers have in the directory `id`.
    #[must_use]
    pub fn is_opaque(&self, id: InodeId) -> bool {
        self.opaque.contains(&id)
    }

    /// The names in the directory `id` that are hard links to files of lower layers, sorted, with
    /// the path of the file.
    pub fn lower_links(&self, id: InodeId) -> impl Iterator<Item = (&Name, &Path)> {
        self.lower_links.get(&id).into_iter().flatten()
    }

    /// Whether the layer says more than its tree: it hides something, or links to a lower layer.
    #[must_use]
    pub fn needs_lower(&self) -> bool {
        !(self.whiteouts.is_empty() && self.opaque.is_empty() && self.lower_links.is_empty())
    }

    /// Puts a file. What had the path in this layer is replaced, except that a directory keeps
    /// what is in it and takes the new metadata. At the root, only a directory can be put.
    ///
    /// # Errors
    /// If a parent is a file of this layer that is no directory, or the tree is full.
    pub fn insert(&mut self, path: &Path, inode: Inode<C>) -> Result<InodeId, LayerError> {
        let is_directory = inode.is_directory();
        let Some((parent, name)) = path.split() else {
            let root = self.tree.insert_at(path, inode)?;
            self.implied.remove(&root);
            return Ok(root);
        };
        let parent = self.parent(&parent, Implied::ByFile)?;
        let there = self.tree.directory(parent).and_then(|here| here.get(name.as_bytes()));
        let was_link = self.forget_link(parent, name.as_bytes());
        let id = self.tree.insert(parent, name, inode)?;
        if is_directory {
            self.implied.remove(&id);
            if was_link || there.is_some_and(|there| there != id) {
                self.opaque.insert(id);
            }
        }
        Ok(id)
    }

    /// Makes `path` one more name of the file at `target`: of this layer, if it has one there,
    /// otherwise of a lower one, which [`crate::stack()`] will look for.
    ///
    /// # Errors
    /// If `target` is `path`, the root or a directory of this layer, or a parent is no directory.
    pub fn link(&mut self, path: &Path, target: &Path) -> Result<(), LayerError> {
        let (parent, name) = path.split().ok_or(LayerError::Root)?;
        if path == target {
            return Err(LayerError::LinkToItself(path.clone()));
        }
        let (above, last) = target.split().ok_or(LayerError::Root)?;
        let lower = match self.tree.lookup(target) {
            Some(here) if self.tree.directory(here).is_some() => {
                return Err(TreeError::LinkedDirectory.into());
            }
            Some(here) => Err(here),
            None => Ok(self.lower_target(&above, &last).unwrap_or_else(|| target.clone())),
        };
        let parent = self.parent(&parent, Implied::ByFile)?;
        match lower {
            Err(here) => {
                self.tree.link(parent, name.clone(), here)?;
                self.forget_link(parent, name.as_bytes());
            }
            Ok(lower) => {
                self.tree.remove(parent, name.as_bytes());
                self.lower_links.entry(parent).or_default().insert(name, lower);
            }
        }
        Ok(())
    }

    /// Hides what lower layers have at `path`. What this layer has there stays.
    ///
    /// # Errors
    /// At the root, or if a parent is a file of this layer that is no directory.
    pub fn whiteout(&mut self, path: &Path) -> Result<(), LayerError> {
        let (parent, name) = path.split().ok_or(LayerError::Root)?;
        let parent = self.parent(&parent, Implied::ByWhiteout)?;
        self.whiteouts.entry(parent).or_default().insert(name);
        Ok(())
    }

    /// Hides all that lower layers have in the directory at `path`.
    ///
    /// # Errors
    /// If `path` is, or leads through, a file of this layer that is no directory.
    pub fn hide_all_in(&mut self, path: &Path) -> Result<(), LayerError> {
        let id = self.parent(path, Implied::ByWhiteout)?;
        self.opaque.insert(id);
        Ok(())
    }

    /// The directory at `path`, made with its parents where it is missing.
    fn parent(&mut self, path: &Path, by: Implied) -> Result<InodeId, LayerError> {
        self.check_links(path)?;
        let mut made = Vec::new();
        let id = self.tree.make_directories(path, |id| made.push(id))?;
        self.implied.extend(made.iter().map(|id| (*id, by)));
        if by == Implied::ByFile {
            // What was there before, and only for whiteouts, now has a file in it.
            let mut at = made.first().map_or(id, |first| self.up(*first));
            while self.implied.get(&at) == Some(&Implied::ByWhiteout) {
                self.implied.insert(at, by);
                at = self.up(at);
            }
        }
        Ok(id)
    }

    fn up(&self, id: InodeId) -> InodeId {
        self.tree.directory(id).map_or(InodeId::ROOT, Directory::parent)
    }

    /// Refuses a way through a hard link to a lower layer: that is no directory.
    fn check_links(&self, path: &Path) -> Result<(), LayerError> {
        if self.lower_links.is_empty() {
            return Ok(());
        }
        let mut at = Some(InodeId::ROOT);
        for name in path.names() {
            let Some(here) = at else { break };
            if self.lower_links.get(&here).is_some_and(|links| links.contains_key(name)) {
                return Err(TreeError::NotADirectory(path.clone()).into());
            }
            at = self.tree.directory(here).and_then(|here| here.get(name));
        }
        Ok(())
    }

    /// What `last` in the directory at `above` links to, if it is itself a link to a lower layer.
    fn lower_target(&self, above: &Path, last: &Name) -> Option<Path> {
        self.lower_links.get(&self.tree.lookup(above)?)?.get(last).cloned()
    }

    fn forget_link(&mut self, parent: InodeId, name: &[u8]) -> bool {
        let Some(links) = self.lower_links.get_mut(&parent) else { return false };
        let was = links.remove(name).is_some();
        if links.is_empty() {
            self.lower_links.remove(&parent);
        }
        was
    }

    /// The same layer with other contents, each asked for once.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<D, E>(self, f: impl FnMut(InodeId, C) -> Result<D, E>) -> Result<Layer<D>, E> {
        Ok(Layer {
            tree: self.tree.try_map(f)?,
            implied: self.implied,
            whiteouts: self.whiteouts,
            opaque: self.opaque,
            lower_links: self.lower_links,
        })
    }

    /// Every link to a lower layer: its directory, its name, the path of the file.
    pub(crate) fn all_lower_links(&self) -> impl Iterator<Item = (InodeId, &Name, &Path)> {
        let links = self.lower_links.iter();
        links.flat_map(|(id, links)| links.iter().map(|(name, target)| (*id, name, target)))
    }

    /// Takes an inode out, for a layer that is taken apart.
    pub(crate) fn take(&mut self, id: InodeId) -> Option<Inode<C>> {
        self.tree.take(id)
    }
}
