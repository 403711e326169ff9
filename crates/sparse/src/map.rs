//! The side file: which blocks are there. Its format stands in the crate's documentation.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use fixedbitset::FixedBitSet;

use crate::error::SparseError;
use crate::steps::step;

const MAGIC: [u8; 8] = *b"MGSPARSE";
const VERSION: u32 = 1;
const HEADER: usize = 24;

/// More blocks than this are not a file of ours: 32 MiB of map.
const MAX_BLOCKS: u64 = 1 << 28;

/// How a file is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) length: u64,
    pub(crate) block_size: u32,
    pub(crate) blocks: u32,
}

impl Shape {
    pub(crate) fn new(length: u64, block_size: u32) -> Option<Self> {
        let count = length.checked_div(u64::from(block_size))?
            + u64::from(!length.is_multiple_of(u64::from(block_size)));
        let blocks = u32::try_from(count).ok().filter(|_| count <= MAX_BLOCKS)?;
        Some(Self { length, block_size, blocks })
    }

    const fn map_bytes(self) -> usize {
        (self.blocks as usize).div_ceil(8)
    }
}

/// The bits as the side file has them now.
#[derive(Debug)]
pub(crate) struct Map {
    bits: Vec<u8>,
}

impl Map {
    /// A map without a file.
    pub(crate) fn empty(shape: Shape) -> Self {
        Self { bits: vec![0; shape.map_bytes()] }
    }

    /// Writes an empty map for `shape` and gives it its name only when it is written.
    pub(crate) fn create(path: &Path, shape: Shape) -> Result<Self, SparseError> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&shape.block_size.to_le_bytes());
        header.extend_from_slice(&shape.length.to_le_bytes());
        let length = (HEADER + shape.map_bytes()) as u64;
        let unnamed = path.with_extension("map.new");
        // No bit is set: behind the header there is a hole, and a large map takes no room yet.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unnamed)
            .and_then(|mut file| file.write_all(&header).and_then(|()| file.set_len(length)))
            .map_err(SparseError::io("write", &unnamed))?;
        step("map written under its first name");
        fs::rename(&unnamed, path).map_err(SparseError::io("rename to", path))?;
        step("map named");
        Ok(Self::empty(shape))
    }

    /// Reads a map that an earlier run left.
    pub(crate) fn read(path: &Path) -> Result<(Self, Shape), SparseError> {
        let image = fs::read(path).map_err(SparseError::io("read", path))?;
        let bad = |why| SparseError::BadMap { path: path.to_owned(), why };
        let (header, bits) =
            image.split_first_chunk::<HEADER>().ok_or_else(|| bad("it is too short"))?;
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        if header[..8] != MAGIC {
            return Err(bad("it does not begin with the magic"));
        }
        if u32::from_le_bytes(word(8)) != VERSION {
            return Err(bad("it has another version"));
        }
        let block_size = u32::from_le_bytes(word(12));
        let length =
            u64::from(u32::from_le_bytes(word(16))) | u64::from(u32::from_le_bytes(word(20))) << 32;
        let shape = Shape::new(length, block_size).ok_or_else(|| bad("it has no shape"))?;
        if bits.len() != shape.map_bytes() {
            return Err(bad("its length does not fit the number of blocks"));
        }
        let bits = bits.to_vec();
        Ok((Self { bits }, shape))
    }

    /// The blocks whose bits are set.
    pub(crate) fn blocks(&self, shape: Shape) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(shape.blocks as usize);
        let some = self.bits.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let blocks = some.flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
        });
        // The last byte may have bits of no block.
        set.extend(blocks.filter(|block| *block < shape.blocks as usize));
        set
    }

    /// Sets or clears one bit, on disk and then here.
    pub(crate) fn write(&mut self, file: &File, block: u32, on: bool) -> std::io::Result<()> {
        let at = block as usize / 8;
        let bit = 1 << (block % 8);
        let byte = if on { self.bits[at] | bit } else { self.bits[at] & !bit };
        if byte != self.bits[at] {
            file.write_all_at(&[byte], (HEADER + at) as u64)?;
            self.bits[at] = byte;
        }
        Ok(())
    }

    /// Sets or clears the bits of a run, on disk by one write and then here. Says whether any
    /// changed. Blocks beyond the end are none.
    pub(crate) fn write_run(
        &mut self,
        file: &File,
        blocks: Range<u32>,
        on: bool,
    ) -> std::io::Result<bool> {
        let first = blocks.start as usize / 8;
        let end = (blocks.end as usize).div_ceil(8).min(self.bits.len());
        let mut bytes = self.bits.get(first..end).unwrap_or_default().to_vec();
        for block in blocks {
            if let Some(byte) = bytes.get_mut((block as usize / 8).saturating_sub(first)) {
                let bit = 1 << (block % 8);
                *byte = if on { *byte | bit } else { *byte & !bit };
            }
        }
        let before = self.bits.get_mut(first..end).unwrap_or_default();
        if before == bytes {
            return Ok(false);
        }
        file.write_all_at(&bytes, (HEADER + first) as u64)?;
        before.copy_from_slice(&bytes);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let blocks = |length, size| Shape::new(length, size).map(|shape| shape.blocks);
        assert_eq!(blocks(0, 10), Some(0));
        assert_eq!(blocks(1, 10), Some(1));
        assert_eq!(blocks(10, 10), Some(1));
        assert_eq!(blocks(11, 10), Some(2));
        assert_eq!(blocks(1, 0), None);
        assert_eq!(blocks(u64::MAX, 1), None);
    }

    #[test]
    fn what_was_set_is_read_and_a_map_without_it_takes_no_room() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.map");
        let shape = Shape::new((64 << 30) - 5 * 4096, 4096).unwrap();
        let mut map = Map::create(&path, shape).unwrap();
        let taken = || fs::metadata(&path).unwrap().blocks() * 512;
        assert!(taken() <= 64 << 10, "{}", taken());
        assert_eq!(map.blocks(shape).count_ones(..), 0);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let last = shape.blocks - 1;
        for block in [0, 7, 8, 1_000_003, last] {
            map.write(&file, block, true).unwrap();
        }
        file.write_all_at(&[0xff], (HEADER + last as usize / 8) as u64).unwrap();
        let set = Map::read(&path).unwrap().0.blocks(shape);
        let first: Vec<_> = set.ones().take(4).collect();
        assert_eq!((first, set.count_ones(..)), (vec![0, 7, 8, 1_000_003], 4 + 3));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.map");
        let shape = Shape::new(100, 10).unwrap();
        Map::create(&path, shape).unwrap();
        let good = fs::read(&path).unwrap();
        assert_eq!(Map::read(&path).unwrap().1, shape);
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(matches!(Map::read(&path), Err(SparseError::BadMap { .. })));
        }
        for at in 0..16 {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            fs::write(&path, &bad).unwrap();
            assert!(Map::read(&path).is_err(), "byte {at}");
        }
        fs::write(&path, vec![0; good.len()]).unwrap();
        assert!(Map::read(&path).is_err());
    }
}
