//! One file of any kind.

use std::collections::{BTreeMap, btree_map};

use crate::meta::{Meta, Mode};
use crate::name::Name;

/// Names an inode within its tree. Numbers are never used twice in one tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InodeId(pub(crate) u32);

impl InodeId {
    /// The root directory of every tree.
    pub const ROOT: Self = Self(0);

    /// The number, to index tables beside the tree: less than [`crate::Tree::slots`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A device's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// What an inode is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind<C> {
    /// Names of other inodes.
    Directory(Directory),
    /// A regular file with its content.
    File(C),
    /// A symbolic link with its target, whatever bytes that may be.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The entries of a directory, sorted by the bytes of their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    pub(crate) parent: InodeId,
    pub(crate) entries: BTreeMap<Name, InodeId>,
}

impl Directory {
    pub(crate) const fn new() -> Self {
        Self { parent: InodeId::ROOT, entries: BTreeMap::new() }
    }

    /// The directory that this one is in; the root is in itself.
    #[must_use]
    pub const fn parent(&self) -> InodeId {
        self.parent
    }

    /// How many names it has, `.` and `..` aside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What `name` names.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<InodeId> {
        self.entries.get(name).copied()
    }

    /// Every name, sorted, and what it names.
    pub fn iter(&self) -> btree_map::Iter<'_, Name, InodeId> {
        self.entries.iter()
    }
}

impl<'a> IntoIterator for &'a Directory {
    type Item = (&'a Name, &'a InodeId);
    type IntoIter = btree_map::Iter<'a, Name, InodeId>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One file of any kind. Hard links are several names of one inode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inode<C> {
    /// Mode, owner, time, extended attributes.
    pub meta: Meta,
    pub(crate) links: u32,
    pub(crate) kind: Kind<C>,
}

impl<C> Inode<C> {
    const fn new(meta: Meta, kind: Kind<C>) -> Self {
        Self { meta, links: 0, kind }
    }

    /// An empty directory.
    #[must_use]
    pub const fn directory(meta: Meta) -> Self {
        Self::new(meta, Kind::Directory(Directory::new()))
    }

    /// A regular file.
    #[must_use]
    pub const fn file(meta: Meta, content: C) -> Self {
        Self::new(meta, Kind::File(content))
    }

    /// A symbolic link. Its mode is what Linux says of every one: 0777.
    #[must_use]
    pub fn symlink(meta: Meta, target: &[u8]) -> Self {
        Self::new(Meta { mode: Mode::SYMLINK, ..meta }, Kind::Symlink(target.into()))
    }

    /// A character device.
    #[must_use]
    pub const fn char_device(meta: Meta, device: Device) -> Self {
        Self::new(meta, Kind::CharDevice(device))
    }

    /// A block device.
    #[must_use]
    pub const fn block_device(meta: Meta, device: Device) -> Self {
        Self::new(meta, Kind::BlockDevice(device))
    }

    /// A named pipe.
    #[must_use]
    pub const fn fifo(meta: Meta) -> Self {
        Self::new(meta, Kind::Fifo)
    }

    /// A socket.
    #[must_use]
    pub const fn socket(meta: Meta) -> Self {
        Self::new(meta, Kind::Socket)
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &Kind<C> {
        &self.kind
    }

    /// How many names it has in its tree: 1 unless it is hard-linked, 0 while it is in none. A
    /// directory has one name; what `stat` adds for `.` and `..` is not counted.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.links
    }

    /// Its entries, if it is a directory.
    #[must_use]
    pub const fn as_directory(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Its content, if it is a regular file.
    #[must_use]
    pub const fn content(&self) -> Option<&C> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Its content to change, if it is a regular file.
    #[must_use]
    pub const fn content_mut(&mut self) -> Option<&mut C> {
        match &mut self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// The same inode with its content made anew.
    pub(crate) fn try_map<D, E>(self, f: impl FnOnce(C) -> Result<D, E>) -> Result<Inode<D>, E> {
        let kind = match self.kind {
            Kind::Directory(directory) => Kind::Directory(directory),
            Kind::File(content) => Kind::File(f(content)?),
            Kind::Symlink(target) => Kind::Symlink(target),
            Kind::CharDevice(device) => Kind::CharDevice(device),
            Kind::BlockDevice(device) => Kind::BlockDevice(device),
            Kind::Fifo => Kind::Fifo,
            Kind::Socket => Kind::Socket,
        };
        Ok(Inode { meta: self.meta, links: self.links, kind })
    }
}
