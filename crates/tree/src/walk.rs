//! Every name of a tree, sorted, without recursion.

use std::collections::btree_map;

use crate::inode::{Inode, InodeId};
use crate::name::Name;
use crate::path::{self, Path};
use crate::tree::Tree;

/// One name in a tree, and what it names.
#[derive(Debug)]
pub struct Visit<'a, C> {
    /// How many directories are above: 0 for the root.
    pub depth: usize,
    /// The directory that the name is in; the root is in itself.
    pub parent: InodeId,
    /// The name; `None` for the root.
    pub name: Option<&'a Name>,
    /// What it names. A hard-linked inode is visited once for each name.
    pub id: InodeId,
    /// The same, looked up.
    pub inode: &'a Inode<C>,
}

impl<C> Clone for Visit<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Visit<'_, C> {}

/// What a walk comes to next.
#[derive(Debug)]
pub enum Step<'a, C> {
    /// A name; if it is a directory's, what is in it follows.
    Enter(Visit<'a, C>),
    /// The end of a directory that was entered.
    Leave(Visit<'a, C>),
}

/// Walks a tree in the order of [`Path`]: each directory, then all that is in it, by name. After
/// each step, [`Self::path`] says where that was.
#[derive(Debug)]
pub struct Steps<'a, C> {
    tree: &'a Tree<C>,
    next: Option<Visit<'a, C>>,
    open: Vec<Open<'a, C>>,
    path: Vec<u8>,
}

/// A directory that was entered.
#[derive(Debug)]
struct Open<'a, C> {
    visit: Visit<'a, C>,
    entries: btree_map::Iter<'a, Name, InodeId>,
    /// How long its path is.
    path: usize,
}

impl<'a, C> Steps<'a, C> {
    fn new(tree: &'a Tree<C>, top: InodeId) -> Self {
        let next = tree.get(top).map(|inode| Visit {
            depth: 0,
            parent: InodeId::ROOT,
            name: None,
            id: top,
            inode,
        });
        Self { tree, next, open: Vec::new(), path: Vec::new() }
    }

    /// Where the last step was, from where the walk began.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Passes over what is in the directory that was entered last, with its [`Step::Leave`].
    pub fn pass_over(&mut self) {
        self.open.pop();
    }

    fn enter(&mut self, visit: Visit<'a, C>) -> Step<'a, C> {
        if let Some(name) = visit.name {
            path::push(&mut self.path, name.as_bytes());
        }
        if let Some(directory) = visit.inode.as_directory() {
            let path = self.path.len();
            self.open.push(Open { visit, entries: directory.iter(), path });
        }
        Step::Enter(visit)
    }
}

impl<'a, C> Iterator for Steps<'a, C> {
    type Item = Step<'a, C>;

    fn next(&mut self) -> Option<Step<'a, C>> {
        if let Some(top) = self.next.take() {
            return Some(self.enter(top));
        }
        let depth = self.open.len();
        let open = self.open.last_mut()?;
        self.path.truncate(open.path);
        let parent = open.visit.id;
        let Some((name, id)) = open.entries.next() else {
            return self.open.pop().map(|open| Step::Leave(open.visit));
        };
        // Whatever has a name is in the arena.
        let inode = self.tree.get(*id)?;
        Some(self.enter(Visit { depth, parent, name: Some(name), id: *id, inode }))
    }
}

/// [`Steps`] without the ends of directories.
#[derive(Debug)]
pub struct Walk<'a, C>(Steps<'a, C>);

impl<C> Walk<'_, C> {
    /// Where the last visit was, from the tree's root.
    #[must_use]
    pub fn path(&self) -> Path {
        Path::from_clean(self.0.path.clone())
    }

    /// The same, without a copy.
    #[must_use]
    pub fn path_bytes(&self) -> &[u8] {
        self.0.path()
    }
}

impl<'a, C> Iterator for Walk<'a, C> {
    type Item = Visit<'a, C>;

    fn next(&mut self) -> Option<Visit<'a, C>> {
        self.0.find_map(|step| match step {
            Step::Enter(visit) => Some(visit),
            Step::Leave(_) => None,
        })
    }
}

impl<C> Tree<C> {
    /// Every name from the root down, sorted.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, C> {
        Walk(self.steps())
    }

    /// Every name from the root down, sorted, and the end of each directory.
    #[must_use]
    pub fn steps(&self) -> Steps<'_, C> {
        self.steps_from(InodeId::ROOT)
    }

    /// Every name from `top` down, sorted, and the end of each directory. Nothing if `top` is
    /// gone.
    #[must_use]
    pub fn steps_from(&self, top: InodeId) -> Steps<'_, C> {
        Steps::new(self, top)
    }
}
