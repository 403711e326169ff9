//! The files of an image while its layers are applied.

use std::collections::BTreeMap;

use content::BlobHasher;
use tree::{Meta, Time};

use super::listing::{Line, Listing, file, line, listing};
use super::{Sparse, What, join};

#[derive(Clone, Debug)]
struct Node {
    line: Line,
    directory: bool,
}

/// Which file is at which path.
#[derive(Clone, Debug)]
pub(crate) struct State {
    nodes: Vec<Node>,
    paths: BTreeMap<Vec<u8>, usize>,
}

fn implied() -> Node {
    Node { line: line("directory", &Meta::implied(), None), directory: true }
}

impl State {
    /// A root that nobody described.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![implied()], paths: BTreeMap::from([(Vec::new(), 0)]) }
    }

    pub(crate) fn is_directory(&self, path: &[u8]) -> bool {
        self.paths.get(path).is_some_and(|id| self.nodes[*id].directory)
    }

    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.paths.contains_key(path)
    }

    /// All paths of directories, or of anything else; the root is a directory.
    pub(crate) fn paths(&self, directories: bool) -> Vec<Vec<u8>> {
        let wanted = self.paths.iter().filter(|(_, id)| self.nodes[**id].directory == directories);
        wanted.map(|(path, _)| path.clone()).collect()
    }

    fn under(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let inside = if path.is_empty() { Vec::new() } else { join(path, b"") };
        let below = |other: &&Vec<u8>| other.starts_with(&inside) && other.as_slice() != path;
        self.paths.keys().filter(below).cloned().collect()
    }

    /// Takes away all that is in a directory.
    pub(crate) fn clear(&mut self, path: &[u8]) {
        for inner in self.under(path) {
            self.paths.remove(&inner);
        }
    }

    /// Takes away what is there, with all that is in it.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        self.clear(path);
        self.paths.remove(path);
    }

    /// Makes the directories on the way to `path` that are not there; `false` if one cannot be.
    pub(crate) fn imply(&mut self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            let parent = &path[..at];
            if !self.has(parent) {
                self.nodes.push(implied());
                self.paths.insert(parent.to_vec(), self.nodes.len() - 1);
            } else if !self.is_directory(parent) {
                return false;
            }
        }
        true
    }

    /// Puts a file in the place of what is there; a directory keeps what is in it.
    pub(crate) fn put(&mut self, path: &[u8], what: &What, meta: &Meta) {
        let directory = *what == What::Directory;
        if let What::Link(target) = what {
            let id = self.paths[target];
            self.remove(path);
            self.paths.insert(path.to_vec(), id);
            return;
        }
        if !(directory && self.is_directory(path)) {
            self.remove(path);
        }
        let kind = match what {
            What::Directory => "directory".to_owned(),
            What::File(bytes) => of_sparse(bytes),
            What::Symlink(target) => format!("symlink {}", target.escape_ascii()),
            What::Char(major, minor) => format!("char {major}:{minor}"),
            What::Block(major, minor) => format!("block {major}:{minor}"),
            What::Fifo | What::Link(_) => "fifo".to_owned(),
        };
        let time: Option<Time> = Some(meta.mtime);
        self.nodes.push(Node { line: line(&kind, meta, time), directory });
        self.paths.insert(path.to_vec(), self.nodes.len() - 1);
    }

    pub(crate) fn listing(&self) -> Listing {
        listing(
            self.paths.iter().map(|(path, id)| (path.clone(), *id, self.nodes[*id].line.clone())),
        )
    }
}

fn of_sparse(parts: &Sparse) -> String {
    let (mut hasher, mut size) = (BlobHasher::new(), 0);
    for (hole, data) in parts {
        hasher.update(&vec![0; usize::try_from(*hole).expect("it is small")]);
        hasher.update(data);
        size += hole + data.len() as u64;
    }
    file(size, hasher.finish())
}
