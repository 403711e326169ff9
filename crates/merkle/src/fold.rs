//! The root of a tree that is nowhere whole: from its inodes in walking order.
//!
//! Holds what is open: for each directory above the place where the walk is, its record and one
//! hash a level of its list. Who walks says of a hard-linked inode its first name with [`Fold::leaf`],
//! and hands the hash back for every other one ([`Fold::again`]).

use content::Digest;
use tree::Meta;

use crate::hash::{self, List};
use crate::record::{Names, Record, What};

/// A directory that was entered and not left.
#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    meta: Meta,
    entries: u64,
    list: List,
    /// How long the path of the directory that it is in is.
    path: usize,
}

/// A root in the making.
#[derive(Debug, Default)]
pub struct Fold {
    open: Vec<Open>,
    path: Vec<u8>,
    root: Option<Digest>,
}

impl Fold {
    /// A directory; what is in it follows, by name, and then [`Self::leave`]. The root comes first,
    /// and its name is empty.
    pub fn enter(&mut self, name: &[u8], meta: Meta) {
        let path = self.path.len();
        self.descend(name);
        let (name, list) = (name.to_vec(), List::default());
        self.open.push(Open { name, meta, entries: 0, list, path });
    }

    /// Anything else, by the first of its `links` names. The inode's hash.
    pub fn leaf(&mut self, name: &[u8], meta: Meta, links: u32, what: What) -> Digest {
        let path = self.path.len();
        self.descend(name);
        let hash = Record { meta, names: Names::new(links, &self.path), what }.hash();
        self.path.truncate(path);
        self.again(name, &hash);
        hash
    }

    /// Another name of an inode with this hash.
    pub fn again(&mut self, name: &[u8], hash: &Digest) {
        if let Some(open) = self.open.last_mut() {
            open.entries = open.entries.saturating_add(1);
            open.list.push(hash::entry(name, hash));
        }
    }

    /// The end of the directory that was entered last.
    pub fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let what = What::Directory { entries: open.entries, top: open.list.top() };
        let hash = Record { meta: open.meta, names: Names::One, what }.hash();
        self.path.truncate(open.path);
        if self.open.is_empty() {
            self.root = Some(hash::root(&hash));
        } else {
            self.again(&open.name, &hash);
        }
    }

    /// The root; `None` if the root directory was never left.
    #[must_use]
    pub const fn root(&self) -> Option<Digest> {
        self.root
    }

    fn descend(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend(name);
    }
}
