//! Every name of an image from the root down: without recursion, and never in circles.

use std::collections::HashSet;

use crate::error::RafsError;
use crate::ondisk::inode::Dirent as RawDirent;

use super::Bootstrap;
use super::dir::{Directory, Dirent, Entries};
use super::inode::{FileType, Inode, Nid};

/// One name of an image. The root's is empty.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The directory that it is in; the root is in itself.
    pub parent: Nid,
    /// The name, never `.` or `..`.
    pub name: &'a [u8],
    /// What it names. A file with several names is visited for each.
    pub inode: Inode,
}

/// Every name of an image: a directory before what is in it, by name. Ends after the first error.
#[derive(Debug)]
pub struct Walk<'a, B> {
    bootstrap: &'a Bootstrap<B>,
    begun: bool,
    open: Vec<(Nid, Entries<'a>)>,
    directories: HashSet<Nid>,
    /// How many more names there can be. Names need room; if they take more than there is, then
    /// directories share blocks, and a small image could be made to name without end.
    left: usize,
}

impl<'a, B: AsRef<[u8]>> Walk<'a, B> {
    fn step(&mut self) -> Result<Option<Visit<'a>>, RafsError> {
        if !self.begun {
            self.begun = true;
            let inode = self.bootstrap.inode(self.bootstrap.root())?;
            if inode.file_type != FileType::Directory {
                return Err(RafsError::corrupt("root", inode.tail_at(), "it is no directory"));
            }
            self.enter(&inode, inode.nid)?;
            return Ok(Some(Visit { parent: inode.nid, name: b"", inode }));
        }
        while let Some((parent, entries)) = self.open.last_mut() {
            let parent = *parent;
            let Some(entry) = entries.next().transpose()? else {
                self.open.pop();
                continue;
            };
            self.left = self.left.checked_sub(1).ok_or(RafsError::Corrupt {
                what: "directory",
                at: 0,
                why: "directories share blocks",
            })?;
            if !entry.is_dot() {
                return self.visit(parent, &entry).map(Some);
            }
        }
        Ok(None)
    }

    fn visit(&mut self, parent: Nid, entry: &Dirent<'a>) -> Result<Visit<'a>, RafsError> {
        let inode = self.bootstrap.inode(entry.nid)?;
        if inode.file_type != entry.file_type {
            let at = inode.tail_at();
            return Err(RafsError::corrupt("inode", at, "it is not what its directory says"));
        }
        if inode.file_type == FileType::Directory {
            self.enter(&inode, parent)?;
        }
        Ok(Visit { parent, name: entry.name, inode })
    }

    fn enter(&mut self, inode: &Inode, parent: Nid) -> Result<(), RafsError> {
        if !self.directories.insert(inode.nid) {
            let at = inode.tail_at();
            return Err(RafsError::corrupt("directory", at, "it is in more than one place"));
        }
        let directory: Directory<'a> = self.bootstrap.directory(inode)?;
        for (name, nid) in [(&b"."[..], inode.nid), (b"..", parent)] {
            if directory.lookup(name)?.map(|entry| entry.nid) != Some(nid) {
                let at = inode.tail_at();
                return Err(RafsError::corrupt("directory", at, "`.` or `..` lead elsewhere"));
            }
        }
        self.open.push((inode.nid, directory.entries()));
        Ok(())
    }
}

impl<'a, B: AsRef<[u8]>> Iterator for Walk<'a, B> {
    type Item = Result<Visit<'a>, RafsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            self.open.clear();
        }
        step
    }
}

impl<B: AsRef<[u8]>> Bootstrap<B> {
    /// Every name from the root down.
    pub fn walk(&self) -> Walk<'_, B> {
        Walk {
            bootstrap: self,
            begun: false,
            open: Vec::new(),
            directories: HashSet::new(),
            left: self.bytes().len() / size_of::<RawDirent>(),
        }
    }
}
