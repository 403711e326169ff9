//! Where each inode will lie.

use std::collections::HashMap;

use tree::{InodeId, Kind};

use crate::image::Image;
use crate::ondisk::inode::{
    CHUNK_INDEX_ALIGNMENT, ChunkIndex, ExtendedInode, MAX_TARGET, XATTR_WORD, XattrEntry,
    XattrHeader,
};
use crate::ondisk::{BLOCK, SLOT};

use super::error::WriteError;
use super::{dir, inode};

/// Where each inode lies, and how long everything is.
#[derive(Debug)]
pub(crate) struct Plan {
    /// By the inode's number in the tree; 0 for those that are not in it.
    nids: Vec<u32>,
    /// The first block of those that have blocks of their own, from the first such block.
    own: HashMap<InodeId, u64>,
    /// Where inodes end, from nid 0 on.
    pub(crate) inodes_end: u64,
    /// How many blocks directories and long links take.
    pub(crate) blocks: u64,
    pub(crate) has_xattrs: bool,
}

/// How the data of an inode is put, beside its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// The inode's length in bytes: of the file, of the entries, of the target.
    pub(crate) size: u64,
    /// What follows inode and attributes, in bytes; for indexes with what aligns them.
    pub(crate) tail: u64,
    /// Whether that has to lie in one block with the inode.
    pub(crate) inline: bool,
    /// How many blocks of its own it has.
    pub(crate) blocks: u64,
}

impl Shape {
    /// The shape of data in the bootstrap: its last part inline, if inode, attributes and it fit
    /// into a block.
    const fn flat(size: u64, xattrs: u64) -> Self {
        let whole = size.div_ceil(BLOCK).saturating_sub(1);
        let tail = size - whole * BLOCK;
        if size_of::<ExtendedInode>() as u64 + xattrs + tail <= BLOCK {
            return Self { size, tail, inline: true, blocks: whole };
        }
        Self { size, tail: 0, inline: false, blocks: size.div_ceil(BLOCK) }
    }
}

impl Plan {
    pub(crate) fn new(image: &Image) -> Result<Self, WriteError> {
        let mut plan = Self {
            nids: vec![0; image.tree.slots()],
            own: HashMap::new(),
            inodes_end: 0,
            blocks: 0,
            has_xattrs: false,
        };
        // The root comes first, one block in.
        let mut packer = Packer { end: BLOCK, holes: Vec::new() };
        for visit in image.tree.walk() {
            if plan.nid(visit.id).is_some() {
                continue;
            }
            let xattrs = xattrs_size(visit.id, visit.inode)?;
            plan.has_xattrs |= xattrs > 0;
            let shape = shape(image, visit.id, visit.inode)?;
            if shape.blocks > 0 {
                plan.own.insert(visit.id, plan.blocks);
                plan.blocks += shape.blocks;
            }
            let size = size_of::<ExtendedInode>() as u64 + xattrs + shape.tail;
            let at = packer.place(size, shape.inline);
            let nid = u32::try_from(at / SLOT).map_err(|_| WriteError::TooLong(at))?;
            if let Some(place) = plan.nids.get_mut(visit.id.index()) {
                *place = nid;
            }
        }
        plan.inodes_end = packer.end;
        Ok(plan)
    }

    /// The nid of an inode that is in the tree.
    pub(crate) fn nid(&self, id: InodeId) -> Option<u64> {
        self.nids.get(id.index()).filter(|nid| **nid != 0).map(|nid| u64::from(*nid))
    }

    /// The first of an inode's own blocks, from the first such block of the bootstrap.
    pub(crate) fn own_blocks(&self, id: InodeId) -> Option<u64> {
        self.own.get(&id).copied()
    }
}

/// What follows an inode and its attributes, and how long its data is.
pub(crate) fn shape(
    image: &Image,
    id: InodeId,
    inode: &tree::Inode<crate::image::Content>,
) -> Result<Shape, WriteError> {
    let xattrs = xattrs_size(id, inode)?;
    Ok(match inode.kind() {
        Kind::Directory(directory) => {
            Shape::flat(dir::size(&dir::entries(image, id, directory)), xattrs)
        }
        Kind::Symlink(target) => {
            let size = target.len() as u64;
            if size == 0 || size > MAX_TARGET || target.contains(&0) {
                return Err(WriteError::Target(id));
            }
            Shape::flat(size, xattrs)
        }
        Kind::File(content) => {
            let pad = xattrs.next_multiple_of(CHUNK_INDEX_ALIGNMENT) - xattrs;
            let indexes = content.chunks.len() as u64 * size_of::<ChunkIndex>() as u64;
            Shape { size: content.size, tail: pad + indexes, inline: false, blocks: 0 }
        }
        _ => Shape { size: 0, tail: 0, inline: false, blocks: 0 },
    })
}

/// How long an inode's attributes are, with their header; 0 if there are none.
pub(crate) fn xattrs_size<C>(id: InodeId, inode: &tree::Inode<C>) -> Result<u64, WriteError> {
    let xattrs = &inode.meta.xattrs;
    if xattrs.is_empty() {
        return Ok(0);
    }
    let mut size = size_of::<XattrHeader>() as u64;
    for (name, value) in xattrs {
        let (_, rest) = inode::split_xattr(name)?;
        let length = size_of::<XattrEntry>() + rest.len() + value.len();
        size += (length as u64).next_multiple_of(XATTR_WORD);
        if u16::try_from(value.len()).is_err() {
            return Err(WriteError::XattrSize(id));
        }
    }
    inode::xattr_count(size).map(|_| size).ok_or(WriteError::XattrSize(id))
}

/// Gives out room, from the first block on.
///
/// What must not cross a block leaves a hole before the block that it begins; later inodes that
/// fit go into the holes.
#[derive(Debug)]
struct Packer {
    end: u64,
    /// Where each begins and how long it is. Few: the search must not take time by the image's
    /// size.
    holes: Vec<(u64, u64)>,
}

/// How many holes are remembered.
const HOLES: usize = 16;

impl Packer {
    fn place(&mut self, size: u64, in_one_block: bool) -> u64 {
        let size = size.next_multiple_of(SLOT);
        if let Some(hole) = self.holes.iter_mut().find(|(_, length)| *length >= size) {
            let at = hole.0;
            *hole = (at + size, hole.1 - size);
            return at;
        }
        // An inode itself lies in one block too, which costs at most a slot.
        let together = if in_one_block { size } else { size_of::<ExtendedInode>() as u64 };
        let left = BLOCK - self.end % BLOCK;
        if left < together {
            self.remember(self.end, left);
            self.end += left;
        }
        let at = self.end;
        self.end += size;
        at
    }

    /// Forgets the smallest hole for a larger one.
    fn remember(&mut self, at: u64, length: u64) {
        self.holes.push((at, length));
        if self.holes.len() > HOLES {
            let smallest = (0..).zip(&self.holes).min_by_key(|(_, hole)| hole.1);
            if let Some((number, _)) = smallest {
                self.holes.swap_remove(number);
            }
        }
    }
}
