//! Inodes and what follows them.

use tree::{InodeId, Kind};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::bootstrap::Inode as Read;
use crate::chunk::ChunkInfo;
use crate::image::{ChunkId, Content, Image, file_type};
use crate::ondisk::inode::{
    ChunkIndex, ExtendedInode, XATTR_PREFIXES, XATTR_WORD, XattrEntry, XattrHeader, chunk_format,
    format,
};
use crate::ondisk::{BLOCK, BLOCK_BITS, SLOT};

use super::error::WriteError;
use super::plan::{Plan, Shape, shape, xattrs_size};
use super::{Map, Out, dir};

/// Writes every inode once, numbered in the order of the tree.
pub(crate) fn all(image: &Image, map: &Map, plan: &Plan, out: &mut Out) -> Result<(), WriteError> {
    let mut written = vec![false; image.tree.slots()];
    let mut ino = 0_u32;
    for visit in image.tree.walk() {
        let before = written.get_mut(visit.id.index()).map(|done| std::mem::replace(done, true));
        if before != Some(false) {
            continue;
        }
        ino += 1;
        // Readers take it for a signed number.
        if i32::try_from(ino).is_err() {
            return Err(WriteError::Inodes);
        }
        One { image, map, plan, id: visit.id, inode: visit.inode }.write(ino, out)?;
    }
    Ok(())
}

/// One inode to be written.
struct One<'a> {
    image: &'a Image,
    map: &'a Map,
    plan: &'a Plan,
    id: InodeId,
    inode: &'a tree::Inode<Content>,
}

impl One<'_> {
    fn write(&self, ino: u32, out: &mut Out) -> Result<(), WriteError> {
        let nid = self.plan.nid(self.id).ok_or(WriteError::NoSuchFile)?;
        let at = self.map.meta + nid * SLOT;
        let shape = shape(self.image, self.id, self.inode)?;
        let xattrs = xattrs_size(self.id, self.inode)?;
        let raw = self.raw(ino, &shape, xattrs)?;
        out.put(at, raw.as_bytes());
        let xattrs_at = at + size_of::<ExtendedInode>() as u64;
        if xattrs > 0 {
            out.put(xattrs_at, &encode_xattrs(self.inode)?);
        }
        self.write_data(&shape, xattrs_at + xattrs, out)
    }

    fn raw(&self, ino: u32, shape: &Shape, xattrs: u64) -> Result<ExtendedInode, WriteError> {
        let layout = match self.inode.kind() {
            Kind::File(_) => format::CHUNK_BASED,
            _ if shape.inline => format::FLAT_INLINE,
            _ => format::FLAT_PLAIN,
        };
        let meta = &self.inode.meta;
        let count = xattr_count(xattrs).ok_or(WriteError::XattrSize(self.id))?;
        Ok(ExtendedInode {
            format: U16::new(format::EXTENDED | layout << format::LAYOUT_SHIFT),
            xattr_count: U16::new(count),
            mode: U16::new(file_type(self.inode).mode() | meta.mode.bits()),
            reserved: U16::ZERO,
            size: U64::new(shape.size),
            union: U32::new(self.union()?),
            ino: U32::new(ino),
            uid: U32::new(meta.uid),
            gid: U32::new(meta.gid),
            mtime: U64::new(meta.mtime.seconds().cast_unsigned()),
            mtime_nsec: U32::new(meta.mtime.nanoseconds()),
            nlink: U32::new(self.nlink()),
            reserved2: [0; 16],
        })
    }

    /// The device's number, how the file is cut, or the first block.
    fn union(&self) -> Result<u32, WriteError> {
        match self.inode.kind() {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                let (major, minor) = (device.major, device.minor);
                Read::encode_device(major, minor).ok_or(WriteError::Device { major, minor })
            }
            Kind::File(content) => Ok(chunk_format::INDEXES | self.told_bits(content)),
            _ => {
                let own = self.plan.own_blocks(self.id).unwrap_or(0);
                let block = self.map.blocks / BLOCK + own;
                u32::try_from(block).map_err(|_| WriteError::TooLong(self.map.end))
            }
        }
    }

    /// Names; for a directory also `.` in it and `..` in each that it has.
    fn nlink(&self) -> u32 {
        let Some(directory) = self.inode.as_directory() else { return self.inode.links() };
        let inner = directory
            .iter()
            .filter(|(_, id)| self.image.tree.get(**id).is_some_and(tree::Inode::is_directory));
        u32::try_from(inner.count()).unwrap_or(u32::MAX).saturating_add(2)
    }

    /// The chunk size that the kernel is told: all of the file, if it lies in one piece, so that
    /// it asks once and reads ahead over the chunks' bounds.
    fn told_bits(&self, content: &Content) -> u32 {
        let own = self.image.chunk_size.bits_over_block();
        let all = content.size.next_power_of_two().trailing_zeros();
        let all = all.saturating_sub(u32::from(BLOCK_BITS));
        let infos: Vec<&ChunkInfo> =
            content.chunks.iter().filter_map(|id| self.chunk(*id)).collect();
        let together = infos.windows(2).all(|pair| match pair {
            [a, b] => a.blob == b.blob && a.uncompressed_end() == Some(b.uncompressed_offset),
            _ => true,
        });
        if together && all <= chunk_format::BITS { own.max(all) } else { own }
    }

    fn chunk(&self, id: ChunkId) -> Option<&ChunkInfo> {
        self.image.chunks.get(id.0 as usize)
    }

    fn write_data(&self, shape: &Shape, tail_at: u64, out: &mut Out) -> Result<(), WriteError> {
        let own = self.map.blocks + self.plan.own_blocks(self.id).unwrap_or(0) * BLOCK;
        let mut put = |number: u64, bytes: &[u8]| {
            let inline = shape.inline && number == shape.blocks;
            out.put(if inline { tail_at } else { own + number * BLOCK }, bytes);
        };
        match self.inode.kind() {
            Kind::Directory(directory) => {
                let entries = dir::entries(self.image, self.id, directory);
                let nid = |id| self.plan.nid(id).unwrap_or(0);
                for (number, block) in (0..).zip(dir::blocks(&entries)) {
                    put(number, &dir::encode(block, nid));
                }
            }
            Kind::Symlink(target) => put(0, target),
            Kind::File(content) => {
                let indexes_at = tail_at + shape.tail
                    - content.chunks.len() as u64 * size_of::<ChunkIndex>() as u64;
                for (number, id) in (0..).zip(&content.chunks) {
                    let chunk = self.chunk(*id).ok_or(WriteError::Chunks(self.id))?;
                    let index = chunk_index(chunk).ok_or(WriteError::Chunks(self.id))?;
                    out.put(indexes_at + number * size_of::<ChunkIndex>() as u64, index.as_bytes());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `None` if a number is too large, which a checked image has not.
fn chunk_index(chunk: &ChunkInfo) -> Option<ChunkIndex> {
    let [low0, low1, high, 0] = chunk.index.to_le_bytes() else { return None };
    Some(ChunkIndex {
        index_low: U16::from_bytes([low0, low1]),
        device: chunk.blob.checked_add(1)?,
        index_high: high,
        block: U32::new(u32::try_from(chunk.uncompressed_offset / BLOCK).ok()?),
    })
}

/// What an inode says of the length of its attributes; `None` if it cannot.
pub(crate) fn xattr_count(size: u64) -> Option<u16> {
    if size == 0 {
        return Some(0);
    }
    u16::try_from((size - size_of::<XattrHeader>() as u64) / XATTR_WORD + 1).ok()
}

/// An attribute's prefix, by its number, and the rest of its name.
pub(crate) fn split_xattr(name: &[u8]) -> Result<(u8, &[u8]), WriteError> {
    let unknown = || WriteError::XattrName(name.to_vec());
    let found = XATTR_PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        // Those that do not end with a dot are whole names.
        (prefix.ends_with(b".") != rest.is_empty()).then_some((*number, rest))
    });
    let (number, rest) = found.ok_or_else(unknown)?;
    let fits = u8::try_from(rest.len()).is_ok() && !rest.contains(&0);
    fits.then_some((number, rest)).ok_or_else(unknown)
}

fn encode_xattrs(inode: &tree::Inode<Content>) -> Result<Vec<u8>, WriteError> {
    let mut bytes = XattrHeader::default().as_bytes().to_vec();
    for (name, value) in &inode.meta.xattrs {
        let (prefix, rest) = split_xattr(name)?;
        let entry = XattrEntry {
            name_size: u8::try_from(rest.len()).unwrap_or(0),
            prefix,
            // The plan saw that they fit.
            value_size: U16::new(u16::try_from(value.len()).unwrap_or(0)),
        };
        bytes.extend_from_slice(entry.as_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Ok(bytes)
}
