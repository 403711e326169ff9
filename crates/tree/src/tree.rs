//! The arena of inodes under one root.

use std::ops::Index;

use crate::inode::{Directory, Inode, InodeId, Kind};
use crate::meta::Meta;
use crate::name::Name;
use crate::path::Path;

/// A file tree: inodes in an arena, one of them the root directory.
///
/// Every inode in it can be reached from the root; a directory by exactly one path, any other file
/// by as many names as [`Inode::links`] says. What loses its last name is gone. Nothing recurses,
/// so no depth overflows the stack, neither on use nor on drop.
#[derive(Clone, Debug)]
pub struct Tree<C> {
    pub(crate) slots: Vec<Option<Inode<C>>>,
    pub(crate) live: usize,
}

/// Why a tree cannot be changed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// What should hold an entry is no directory.
    #[error("{0} is not a directory")]
    NotADirectory(Path),
    /// A directory would get a second name.
    #[error("a directory cannot be hard-linked")]
    LinkedDirectory,
    /// The root would become something else than a directory, or go.
    #[error("the root of a tree is a directory and stays one")]
    Root,
    /// There is no such inode in this tree.
    #[error("there is no such file")]
    NoSuchFile,
    /// There were more inodes than can be numbered: 2³²−1.
    #[error("a tree cannot have more than 4294967295 files")]
    Full,
}

impl<C> Tree<C> {
    /// A tree of nothing but its root.
    #[must_use]
    pub fn new(root: Meta) -> Self {
        let root = Inode { links: 1, ..Inode::directory(root) };
        Self { slots: vec![Some(root)], live: 1 }
    }

    /// How many inodes there are, the root among them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live <= 1
    }

    /// One more than the highest number that an inode of this tree has or had: the length of a
    /// table beside the tree, indexed by [`InodeId::index`].
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The inode `id`, unless it is gone.
    #[must_use]
    pub fn get(&self, id: InodeId) -> Option<&Inode<C>> {
        self.slots.get(id.index())?.as_ref()
    }

    /// The inode `id`, to change what it says; its place in the tree stays.
    pub fn get_mut(&mut self, id: InodeId) -> Option<&mut Inode<C>> {
        self.slots.get_mut(id.index())?.as_mut()
    }

    /// The directory `id`, if it is one.
    #[must_use]
    pub fn directory(&self, id: InodeId) -> Option<&Directory> {
        self.get(id)?.as_directory()
    }

    /// Every inode once, in the order in which they came.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode<C>)> {
        (0..).map(InodeId).zip(&self.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// What lies at `path`, without following any symbolic link.
    #[must_use]
    pub fn lookup(&self, path: &Path) -> Option<InodeId> {
        path.names().try_fold(InodeId::ROOT, |at, name| self.directory(at)?.get(name))
    }

    /// Where the directory `id` lies; `None` if it is no directory of this tree.
    #[must_use]
    pub fn path_of(&self, id: InodeId) -> Option<Path> {
        let mut names = Vec::new();
        let mut at = id;
        while at != InodeId::ROOT {
            let parent = self.directory(at)?.parent;
            let (name, _) = self.directory(parent)?.iter().find(|(_, child)| **child == at)?;
            names.push(name);
            at = parent;
        }
        let mut bytes = Vec::new();
        for name in names.into_iter().rev() {
            crate::path::push(&mut bytes, name.as_bytes());
        }
        Some(Path::from_clean(bytes))
    }

    /// Puts `inode` into the directory `parent`. A directory comes in empty; over a directory it
    /// only takes its place in metadata, and what is in there stays. Anything else replaces what
    /// had the name, with all that was in it. Returns the inode that has the name now.
    ///
    /// # Errors
    /// If `parent` is no directory, or the tree is full.
    pub fn insert(
        &mut self,
        parent: InodeId,
        name: Name,
        inode: Inode<C>,
    ) -> Result<InodeId, TreeError> {
        let there = self.entries(parent)?.get(name.as_bytes());
        if let Some(there) = there
            && inode.is_directory()
            && let Some(old) = self.get_mut(there).filter(|old| old.is_directory())
        {
            old.meta = inode.meta;
            return Ok(there);
        }
        let id = self.adopt(parent, inode)?;
        self.attach(parent, name, id);
        Ok(id)
    }

    /// [`Self::insert`] at `path`, whose missing parents are made as [`Meta::implied`] says. At
    /// the root, only a directory's metadata can be put.
    ///
    /// # Errors
    /// If a parent is there and is no directory (a symbolic link is none), if the root would be
    /// replaced, or the tree is full.
    pub fn insert_at(&mut self, path: &Path, inode: Inode<C>) -> Result<InodeId, TreeError> {
        let Some((parent, name)) = path.split() else {
            let root = self.get_mut(InodeId::ROOT).filter(|_| inode.is_directory());
            root.ok_or(TreeError::Root)?.meta = inode.meta;
            return Ok(InodeId::ROOT);
        };
        let parent = self.make_directories(&parent, |_| ())?;
        self.insert(parent, name, inode)
    }

    /// The directory at `path`; missing ones are made as [`Meta::implied`] says, and told.
    ///
    /// # Errors
    /// If something on the way is no directory, or the tree is full.
    pub fn make_directories(
        &mut self,
        path: &Path,
        mut made: impl FnMut(InodeId),
    ) -> Result<InodeId, TreeError> {
        let mut at = InodeId::ROOT;
        for (depth, name) in path.names().enumerate() {
            at = match self.directory(at).and_then(|here| here.get(name)) {
                Some(next) if self.directory(next).is_some() => next,
                Some(_) => {
                    let upto: Vec<&[u8]> = path.names().take(depth.saturating_add(1)).collect();
                    return Err(TreeError::NotADirectory(Path::from_clean(upto.join(&b'/'))));
                }
                None => {
                    // A path has nothing but names in it.
                    let name = Name::new(name).map_err(|_| TreeError::NoSuchFile)?;
                    let next = self.insert(at, name, Inode::directory(Meta::implied()))?;
                    made(next);
                    next
                }
            };
        }
        Ok(at)
    }

    /// Gives the inode `id`, no directory, one more name; what had that name is replaced.
    ///
    /// # Errors
    /// If `id` is a directory or gone, or `parent` is no directory.
    pub fn link(&mut self, parent: InodeId, name: Name, id: InodeId) -> Result<(), TreeError> {
        let there = self.entries(parent)?.get(name.as_bytes());
        let inode = self.get(id).ok_or(TreeError::NoSuchFile)?;
        if inode.is_directory() {
            return Err(TreeError::LinkedDirectory);
        }
        if there != Some(id) {
            self.attach(parent, name, id);
        }
        Ok(())
    }

    /// Takes the name away, and with a directory all that is in it. Whether there was one.
    pub fn remove(&mut self, parent: InodeId, name: &[u8]) -> bool {
        let gone = self.entries_mut(parent).and_then(|here| here.entries.remove(name));
        if let Some(id) = gone {
            self.release(id);
        }
        gone.is_some()
    }

    /// Takes away all that is in a directory.
    pub fn clear(&mut self, directory: InodeId) {
        let entries = self.entries_mut(directory).map(|here| std::mem::take(&mut here.entries));
        for id in entries.into_iter().flat_map(std::collections::BTreeMap::into_values) {
            self.release(id);
        }
    }

    /// The same tree with other contents: `f` is asked once for each regular file, in the order in
    /// which the inodes came.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<D, E>(
        self,
        mut f: impl FnMut(InodeId, C) -> Result<D, E>,
    ) -> Result<Tree<D>, E> {
        let slots = (0..).map(InodeId).zip(self.slots);
        let slots = slots
            .map(|(id, slot)| slot.map(|inode| inode.try_map(|c| f(id, c))).transpose())
            .collect::<Result<_, E>>()?;
        Ok(Tree { slots, live: self.live })
    }

    fn entries(&self, id: InodeId) -> Result<&Directory, TreeError> {
        self.directory(id).ok_or_else(|| TreeError::NotADirectory(Path::root()))
    }

    pub(crate) fn entries_mut(&mut self, id: InodeId) -> Option<&mut Directory> {
        match &mut self.get_mut(id)?.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

impl<C> Default for Tree<C> {
    fn default() -> Self {
        Self::new(Meta::implied())
    }
}

/// # Panics
/// If the inode is gone, or of another tree: a number that this tree gave out is good until its
/// last name is removed.
impl<C> Index<InodeId> for Tree<C> {
    type Output = Inode<C>;

    fn index(&self, id: InodeId) -> &Inode<C> {
        match self.get(id) {
            Some(inode) => inode,
            None => panic!("inode {} is not in this tree", id.0),
        }
    }
}
