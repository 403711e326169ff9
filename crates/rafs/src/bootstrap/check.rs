//! What can be seen only from the whole of an image.

use std::collections::HashMap;

use crate::error::RafsError;
use crate::ondisk::superblock::{DEVICES_AT, DeviceSlot};

use super::chunks::{self, FileChunks};
use super::inode::{FileType, Inode, Layout, Nid};
use super::{Bootstrap, Visit};

/// What an image has, counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Names, the root's included.
    pub names: u64,
    /// Inodes.
    pub inodes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Chunks of all regular files, those that they share counted for each.
    pub chunks: u64,
}

/// The names of one inode, and how many it should have.
#[derive(Debug)]
struct Links {
    seen: u32,
    said: u32,
}

struct Check<'a, B> {
    bootstrap: &'a Bootstrap<B>,
    report: Report,
    links: HashMap<Nid, Links>,
    /// How many bytes inodes and their data may still take: no more than there are, or they
    /// overlap and a small image is made to look large.
    left: u64,
}

impl<B: AsRef<[u8]>> Bootstrap<B> {
    /// Reads all of the image and sees that it holds together: one tree without cycles; names
    /// sorted and unique; `.`, `..`, types and link counts right; each file's chunks there, of the
    /// right length, in their blobs without overlap; the tables sorted and true to each other. Its
    /// chunks' bytes are not looked at.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<Report, RafsError> {
        chunks::sorted(self.bytes(), &self.head)?;
        chunks::in_order(self.bytes(), &self.head, self.rows()?)?;
        self.check_devices()?;
        let mut check = Check {
            bootstrap: self,
            report: Report::default(),
            links: HashMap::new(),
            left: self.bytes().len() as u64,
        };
        for visit in self.walk() {
            check.visit(&visit?)?;
        }
        check.finish()
    }

    /// Each blob's device slot has its name, its length, and a place of its own.
    fn check_devices(&self) -> Result<(), RafsError> {
        let bad = |why| RafsError::corrupt("device slots", DEVICES_AT, why);
        let mut free = 0;
        for (blob, at) in
            self.head.blobs.iter().zip((DEVICES_AT..).step_by(size_of::<DeviceSlot>()))
        {
            let slot: &DeviceSlot = crate::slice::read(self.bytes(), at, "device slots")?;
            if slot.tag != blob.id.to_bytes() || u64::from(slot.blocks.get()) != blob.blocks() {
                return Err(bad("a slot is not of its blob"));
            }
            let begin = u64::from(slot.mapped_block.get());
            if begin < free {
                return Err(bad("two blobs are mapped to the same place"));
            }
            free = begin + blob.blocks();
        }
        Ok(())
    }
}

impl<'a, B: AsRef<[u8]>> Check<'a, B> {
    fn visit(&mut self, visit: &Visit<'a>) -> Result<(), RafsError> {
        let inode = &visit.inode;
        self.report.names += 1;
        if let Some(links) = self.links.get_mut(&inode.nid) {
            links.seen = links.seen.saturating_add(1);
            return Ok(());
        }
        self.links.insert(inode.nid, Links { seen: 1, said: inode.nlink });
        self.inode(inode)
    }

    /// What is checked once for each inode.
    fn inode(&mut self, inode: &Inode) -> Result<(), RafsError> {
        self.report.inodes += 1;
        self.spend(crate::ondisk::SLOT + inode.xattrs_size)?;
        let mut names = Vec::new();
        for xattr in self.bootstrap.xattrs(inode)? {
            names.push(xattr?.name);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            let at = inode.xattrs_at;
            return Err(RafsError::corrupt("extended attributes", at, "a name is there twice"));
        }
        match inode.file_type {
            FileType::Directory => {
                self.report.directories += 1;
                self.spend(inode.size)?;
                self.order(inode)
            }
            FileType::Regular => self.file(inode),
            FileType::Symlink => {
                self.spend(inode.size)?;
                self.bootstrap.target(inode).map(|_| ())
            }
            _ if inode.size == 0 => Ok(()),
            _ => Err(RafsError::corrupt("inode", inode.tail_at(), "it can have no bytes")),
        }
    }

    /// `.` and `..`, which the walk leaves out, are sorted among the names.
    fn order(&self, inode: &Inode) -> Result<(), RafsError> {
        let mut last: Option<&[u8]> = None;
        for entry in self.bootstrap.directory(inode)?.entries() {
            let entry = entry?;
            if last.is_some_and(|last| last >= entry.name) {
                let at = inode.tail_at();
                return Err(RafsError::corrupt("directory", at, "names are not sorted"));
            }
            last = Some(entry.name);
        }
        Ok(())
    }

    fn file(&mut self, inode: &Inode) -> Result<(), RafsError> {
        let chunks = self.bootstrap.chunks(inode)?;
        self.spend(chunks.len() as u64 * 8)?;
        self.report.files += 1;
        self.report.bytes = self.report.bytes.saturating_add(inode.size);
        self.report.chunks = self.report.chunks.saturating_add(chunks.len() as u64);
        for chunk in chunks.iter() {
            chunk?;
        }
        if inode.layout == Layout::Chunks { self.told_cut(inode, &chunks) } else { Ok(()) }
    }

    /// If the kernel is told of larger chunks, the file must lie in one piece in each.
    fn told_cut(&self, inode: &Inode, chunks: &FileChunks<'_>) -> Result<(), RafsError> {
        let more =
            chunks.told_bits().saturating_sub(self.bootstrap.head.chunk_size.bits_over_block());
        if more == 0 {
            return Ok(());
        }
        let mut last = None;
        for (number, chunk) in chunks.iter().enumerate() {
            let info = chunk?.info;
            let first = number.trailing_zeros() >= more;
            let place = (info.blob, info.uncompressed_offset);
            if !first && last != Some(place) {
                let at = inode.tail_at();
                return Err(RafsError::corrupt("chunk indexes", at, "chunks do not lie together"));
            }
            last = info.uncompressed_end().map(|end| (info.blob, end));
        }
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), RafsError> {
        self.left = self.left.checked_sub(bytes).ok_or(RafsError::Corrupt {
            what: "bootstrap",
            at: 0,
            why: "its parts overlap",
        })?;
        Ok(())
    }

    fn finish(self) -> Result<Report, RafsError> {
        for (nid, links) in &self.links {
            let inode = self.bootstrap.inode(*nid)?;
            // A directory's count is 2 and one for each directory in it, or 1 where a builder did
            // not count; the kernel takes any.
            if inode.file_type != FileType::Directory && links.seen != links.said {
                let at = inode.tail_at();
                return Err(RafsError::corrupt("inode", at, "its count of names is not true"));
            }
        }
        let said = self.bootstrap.inodes();
        if said != self.report.inodes && said != self.report.names {
            return Err(RafsError::corrupt("superblock", 1024, "its count of inodes is not true"));
        }
        for nid in self.bootstrap.prefetch() {
            self.bootstrap.inode(nid)?;
        }
        Ok(self.report)
    }
}
