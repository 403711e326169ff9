//! From chunks to a data blob, and from an image in memory to its bootstrap.
//!
//! # A data blob
//!
//! [`BlobWriter`] takes chunks and hands out bytes; [`BlobTail`] adds what follows them.
//!
//! # A bootstrap
//!
//! ```text
//! 0     superblocks, a slot for each blob │ blob table, prefetch table │
//!       an empty block, inodes with what is inline │ blocks of directories │ chunk table
//! ```
//!
//! Two passes over the tree, in its own sorted order: [`plan`] gives every inode a place, then
//! each is written there. The same image gives the same bytes: nothing depends on a clock, on
//! chance, or on the order in which something was put together.

mod blob;
mod dir;
mod error;
mod inode;
mod plan;
mod sections;
mod tables;

use tree::{InodeId, Kind};
use zerocopy::IntoBytes;

use crate::image::{ChunkId, Image};
use crate::ondisk::blob::BlobEntry;
use crate::ondisk::chunk::ChunkRow;
use crate::ondisk::superblock::{DEVICES_AT, DeviceSlot};
use crate::ondisk::{BLOCK, MAX_BLOBS, MAX_BOOTSTRAP};

pub use blob::{BlobOptions, BlobWriter, Given};
pub use error::WriteError;
use plan::Plan;
pub use sections::{BlobTail, Finished};

/// Where everything lies, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub(crate) blob_table: u64,
    pub(crate) prefetch: u64,
    /// Nid 0. The block here stays empty: low nids mean something to FUSE.
    pub(crate) meta: u64,
    /// Where blocks of directories begin.
    pub(crate) blocks: u64,
    pub(crate) chunk_table: u64,
    pub(crate) end: u64,
}

impl Map {
    fn new(image: &Image, plan: &Plan, rows: usize) -> Result<Self, WriteError> {
        let blobs = image.blobs.len() as u64;
        let blob_table = up(DEVICES_AT + blobs * size_of::<DeviceSlot>() as u64);
        let prefetch = blob_table + blobs * size_of::<BlobEntry>() as u64;
        let meta = up(prefetch + image.prefetch.len() as u64 * 4);
        let blocks = meta + up(plan.inodes_end);
        let chunk_table = blocks + plan.blocks * BLOCK;
        let end = up(chunk_table + rows as u64 * size_of::<ChunkRow>() as u64);
        if end >= MAX_BOOTSTRAP {
            return Err(WriteError::TooLong(end));
        }
        Ok(Self { blob_table, prefetch, meta, blocks, chunk_table, end })
    }
}

/// Up to whole blocks; nothing here comes near a `u64`.
const fn up(length: u64) -> u64 {
    length.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl Image {
    /// The image's bootstrap.
    ///
    /// # Errors
    /// If the image says what cannot be, or what the format has no room for.
    pub fn write(&self) -> Result<Vec<u8>, WriteError> {
        if self.blobs.len() > MAX_BLOBS {
            return Err(WriteError::Blobs(self.blobs.len()));
        }
        let rows = self.rows()?;
        let plan = Plan::new(self)?;
        let map = Map::new(self, &plan, rows.order.len())?;
        let mut out = Out(vec![0; usize::try_from(map.end).unwrap_or(0)]);
        tables::superblocks(self, &map, &plan, rows.order.len(), &mut out)?;
        tables::blobs(self, &map, &mut out)?;
        for (number, id) in (0..).zip(&self.prefetch) {
            let nid = plan.nid(*id).ok_or(WriteError::NoSuchFile)?;
            let nid = u32::try_from(nid).map_err(|_| WriteError::TooLong(map.end))?;
            out.put(map.prefetch + number * 4, &nid.to_le_bytes());
        }
        inode::all(self, &map, &plan, &mut out)?;
        for (number, row) in (0..).zip(rows.of(self)) {
            let at = map.chunk_table + number * size_of::<ChunkRow>() as u64;
            out.put(at, row.as_bytes());
        }
        Ok(out.0)
    }

    /// The chunk table: every chunk that a file names, sorted by digest and blob, with its place
    /// in the first file that does.
    fn rows(&self) -> Result<Rows, WriteError> {
        let mut first = vec![Rows::UNUSED; self.chunks.len()];
        let mut count = 0;
        let mut seen = vec![false; self.tree.slots()];
        for visit in self.tree.walk() {
            let Kind::File(content) = visit.inode.kind() else { continue };
            let again = seen.get_mut(visit.id.index()).map(|seen| std::mem::replace(seen, true));
            if again == Some(true) {
                continue;
            }
            self.check_content(visit.id, content.size, &content.chunks)?;
            for (number, chunk) in content.chunks.iter().enumerate() {
                if let Some(first) =
                    first.get_mut(chunk.0 as usize).filter(|at| **at == Rows::UNUSED)
                {
                    *first = u32::try_from(number).map_err(|_| WriteError::Space)?;
                    count += 1;
                }
            }
        }
        let mut order = Vec::with_capacity(count);
        let used = (0_u32..).zip(&first).filter(|(_, first)| **first != Rows::UNUSED);
        order.extend(used.map(|(chunk, _)| chunk));
        let key = |chunk: u32| {
            let chunk = self.chunks.get(chunk as usize);
            chunk.map(|chunk| (chunk.digest, chunk.blob, chunk.index))
        };
        order.sort_unstable_by_key(|chunk| (key(*chunk), *chunk));
        // Two numbers for one chunk are one row.
        order.dedup_by_key(|chunk| key(*chunk));
        Ok(Rows { order, first })
    }

    /// A file's chunks are there, and as long together as the file.
    fn check_content(&self, id: InodeId, size: u64, ids: &[ChunkId]) -> Result<(), WriteError> {
        if self.chunk_size.chunks_of(size) != ids.len() as u64 {
            return Err(WriteError::Chunks(id));
        }
        for (number, chunk) in (0..).zip(ids) {
            let chunk = self.chunks.get(chunk.0 as usize).ok_or(WriteError::Chunks(id))?;
            let blob = self.blobs.get(usize::from(chunk.blob)).ok_or(WriteError::Chunks(id))?;
            let length = self.chunk_size.length_of(number, size) == Some(chunk.uncompressed_size);
            let inside = chunk.index < blob.chunks
                && chunk.uncompressed_offset.is_multiple_of(BLOCK)
                && chunk.uncompressed_end().is_some_and(|end| end <= blob.uncompressed_size);
            if !length || !inside {
                return Err(WriteError::Chunks(id));
            }
        }
        Ok(())
    }
}

/// The chunk table before it is written. A row has 80 bytes, and an image may have a chunk for each
/// file: rows are made one by one.
#[derive(Debug)]
struct Rows {
    /// The chunks that have a row, by their place in the image's list, in the order of the rows.
    order: Vec<u32>,
    /// Which chunk of the first file that has it each chunk of the image is.
    first: Vec<u32>,
}

impl Rows {
    /// No file names the chunk.
    const UNUSED: u32 = u32::MAX;

    fn of<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = ChunkRow> + 'a {
        self.order.iter().filter_map(|chunk| {
            let at = *chunk as usize;
            let number = u64::from(*self.first.get(at)?);
            let offset = number.saturating_mul(u64::from(image.chunk_size.bytes()));
            Some(image.chunks.get(at)?.write(offset))
        })
    }
}

/// The bootstrap while it is written: zeros where nothing was put yet.
#[derive(Debug)]
pub(crate) struct Out(Vec<u8>);

impl Out {
    /// Puts `bytes` at `at`, where the plan made room for them.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = at.saturating_add(bytes.len());
        debug_assert!(end <= self.0.len(), "the plan made no room");
        if let Some(room) = self.0.get_mut(at..end) {
            room.copy_from_slice(bytes);
        }
    }
}
