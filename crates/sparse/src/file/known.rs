//! What is known of a file and its blocks: its shape, what is there, and how much room it takes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fixedbitset::FixedBitSet;

use super::{SparseFile, lock};
use crate::blocks::State;
use crate::error::SparseError;

impl SparseFile {
    /// The data file's length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.shape.length
    }

    /// The size of every block but the last.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.shape.block_size
    }

    /// How many blocks there are.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.shape.blocks
    }

    /// Where the data is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.data_path
    }

    /// Where block `block` begins, and how many bytes it has; `None` if there is no such block.
    #[must_use]
    pub fn extent(&self, block: u32) -> Option<(u64, usize)> {
        let size = u64::from(self.shape.block_size);
        let start = u64::from(block) * size;
        let length = self.shape.length.checked_sub(start)?.min(size);
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        Some((start, length))
    }

    /// What is known of a block; [`State::Absent`] if there is no such block.
    #[must_use]
    pub fn state(&self, block: u32) -> State {
        lock(&self.blocks).state(block)
    }

    /// The blocks that are present.
    #[must_use]
    pub fn present(&self) -> FixedBitSet {
        lock(&self.blocks).present().clone()
    }

    /// The blocks that are present or recorded: what may be claimed.
    #[must_use]
    pub fn recorded_and_present(&self) -> FixedBitSet {
        lock(&self.blocks).recorded_and_present()
    }

    /// The blocks that are provisional.
    #[must_use]
    pub fn provisional(&self) -> FixedBitSet {
        lock(&self.blocks).provisional().clone()
    }

    /// The blocks that are not absent.
    #[must_use]
    pub fn local(&self) -> FixedBitSet {
        lock(&self.blocks).local()
    }

    /// Whether all of `blocks` are present.
    #[must_use]
    pub fn are_present(&self, blocks: std::ops::Range<u32>) -> bool {
        let states = lock(&self.blocks);
        let range = blocks.start as usize..blocks.end as usize;
        blocks.end <= self.shape.blocks && states.present().contains_all_in_range(range)
    }

    /// How often bytes went away: blocks that were dropped or are being overwritten, or the file
    /// itself. Equal before and after [`Self::data`] was read or sent from: the blocks that were
    /// present before stayed what they were.
    #[must_use]
    pub fn drops(&self) -> u64 {
        lock(&self.blocks).drops()
    }

    /// How many bytes all blocks that are not absent have together.
    #[must_use]
    pub fn held(&self) -> u64 {
        lock(&self.blocks).held()
    }

    /// How many bytes the two files take on the disk, as the file system counts.
    ///
    /// # Errors
    /// If the file system does not say.
    pub fn disk_usage(&self) -> Result<u64, SparseError> {
        // The unit of st_blocks is 512 bytes, whatever the file system's own (stat(3type)).
        let taken = |path: &PathBuf| {
            fs::metadata(path)
                .map(|meta| meta.blocks() * 512)
                .map_err(SparseError::io("stat", path))
        };
        Ok(taken(&self.data_path)? + taken(&self.map_path)?)
    }
}
