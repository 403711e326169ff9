//! Runs of blocks that come and go together: a chunk of an image takes several, and is verified as
//! a whole.
//!
//! The rules are those of single blocks (see `change`): a bit is set after the bytes were written,
//! and cleared before they go. A crash between may leave some of a run's bits set; who asks for the
//! run is then told that it is not all there.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;

use rustix::fs::SeekFrom;

use super::handles::Files;
use super::{SparseFile, lock};
use crate::blocks::State;
use crate::error::SparseError;
use crate::steps::step;

/// The right to change a run of blocks. Dropping it gives the right back.
struct RunClaim<'a> {
    file: &'a SparseFile,
    blocks: Range<u32>,
}

impl Drop for RunClaim<'_> {
    fn drop(&mut self) {
        let mut blocks = lock(&self.file.blocks);
        for block in self.blocks.clone() {
            blocks.unclaim(block);
        }
        drop(blocks);
        self.file.unclaimed.notify_all();
    }
}

impl SparseFile {
    /// The blocks that `length` bytes from `offset` on touch; `None` if they lie outside of the
    /// file, or are none.
    #[must_use]
    pub fn blocks_of(&self, offset: u64, length: u64) -> Option<Range<u32>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.shape.length)?;
        let size = u64::from(self.shape.block_size);
        let number = |block: u64| u32::try_from(block).ok();
        (length > 0).then_some(number(offset / size)?..number(end.div_ceil(size))?)
    }

    /// What is known of all of `blocks`: [`State::Present`] if each is, [`State::Recorded`] if each
    /// is that or present, otherwise [`State::Absent`].
    #[must_use]
    pub fn run_state(&self, blocks: Range<u32>) -> State {
        lock(&self.blocks).run_state(blocks)
    }

    /// How many of these blocks are not absent.
    #[must_use]
    pub fn count(&self, blocks: Range<u32>) -> usize {
        lock(&self.blocks).count(blocks)
    }

    /// Writes verified bytes from the beginning of block `first` on; all blocks that they touch are
    /// then present and recorded. What they leave of the last one stays as it is: a hole. Says
    /// whether anything was written: a run that is present already is left alone.
    ///
    /// # Errors
    /// If the bytes do not fit, or the disk refuses; the blocks are then absent.
    pub fn write_run(&self, first: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let (offset, blocks) = self.place_of(first, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim_run(blocks);
        if self.run_state(claim.blocks.clone()) == State::Present {
            return Ok(false);
        }
        self.forget(&claim, &files)?;
        let written = files.data.write_all_at(bytes, offset);
        written.map_err(SparseError::io("write", &self.data_path))?;
        step("run written");
        self.record_run(&files, claim.blocks.clone(), true)?;
        step("bits set");
        lock(&self.blocks).set_run(claim.blocks.clone(), State::Present);
        Ok(true)
    }

    /// As [`Self::write_run`], for a file that somebody may read by other ways: no byte of it
    /// changes. A hole is filled; bytes that lie there already, whether they are recorded or not,
    /// are present from then on. Says whether either was so: otherwise other bytes lie there, and
    /// stay as they are.
    ///
    /// # Errors
    /// If the bytes do not fit, or the disk refuses; what was absent stays so.
    pub fn fill_run(&self, first: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let (offset, blocks) = self.place_of(first, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim_run(blocks);
        let read = SparseError::io("read", &self.data_path);
        if is_hole(&files.data, offset, bytes.len()).map_err(read)? {
            let written = files.data.write_all_at(bytes, offset);
            written.map_err(SparseError::io("write", &self.data_path))?;
            step("hole filled");
        } else {
            let mut there = vec![0; bytes.len()];
            let read = files.data.read_exact_at(&mut there, offset);
            read.map_err(SparseError::io("read", &self.data_path))?;
            if there != bytes {
                return Ok(false);
            }
        }
        self.record_run(&files, claim.blocks.clone(), true)?;
        step("bits of a filled hole set");
        lock(&self.blocks).set_run(claim.blocks.clone(), State::Present);
        Ok(true)
    }

    /// The caller has verified the bytes of all of these blocks: those that were recorded are
    /// present.
    pub fn confirm_run(&self, blocks: Range<u32>) {
        let claim = self.claim_run(blocks);
        let mut states = lock(&self.blocks);
        for block in claim.blocks.clone() {
            if states.state(block) == State::Recorded {
                states.set(block, State::Present);
            }
        }
    }

    /// Forgets these blocks and gives their space back.
    ///
    /// # Errors
    /// If the disk refuses; the blocks are absent for this run of the program all the same.
    pub fn drop_run(&self, blocks: Range<u32>) -> Result<(), SparseError> {
        let claim = self.claim_run(blocks);
        lock(&self.blocks).set_run(claim.blocks.clone(), State::Absent);
        let files = self.files_to_write()?;
        self.forget(&claim, &files)
    }

    /// Bytes of blocks that are present or recorded, and which of both; `None` if one is neither,
    /// or went away meanwhile.
    ///
    /// # Errors
    /// If the disk cannot be read, or the data file has become too short.
    pub fn read_run(
        &self,
        offset: u64,
        length: usize,
    ) -> Result<Option<(State, Vec<u8>)>, SparseError> {
        let Some(blocks) = self.blocks_of(offset, length as u64) else { return Ok(None) };
        let look = || {
            let states = lock(&self.blocks);
            (states.run_state(blocks.clone()), states.drops())
        };
        loop {
            let (state, drops) = look();
            if state == State::Absent {
                return Ok(None);
            }
            let Some(files) = self.files_unless_deleted()? else { return Ok(None) };
            let mut bytes = vec![0; length];
            let read = files.data.read_exact_at(&mut bytes, offset);
            read.map_err(SparseError::io("read", &self.data_path))?;
            if look().1 == drops {
                return Ok(Some((state, bytes)));
            }
        }
    }

    /// Where bytes go from the beginning of block `first` on, and which blocks they touch.
    fn place_of(&self, first: u32, bytes: &[u8]) -> Result<(u64, Range<u32>), SparseError> {
        let offset = u64::from(first) * u64::from(self.shape.block_size);
        let blocks = self.blocks_of(offset, bytes.len() as u64);
        let blocks = blocks.ok_or_else(|| SparseError::NoSuchBlock {
            path: self.data_path.clone(),
            block: first,
            bytes: bytes.len(),
        })?;
        Ok((offset, blocks))
    }

    /// No bit is set for the run, and nothing of it is on the disk.
    fn forget(&self, claim: &RunClaim<'_>, files: &Files) -> Result<(), SparseError> {
        let blocks = claim.blocks.clone();
        lock(&self.blocks).set_run(blocks.clone(), State::Absent);
        if self.record_run(files, blocks.clone(), false)? {
            step("bits cleared");
            let size = u64::from(self.shape.block_size);
            let length = u64::from(blocks.end.saturating_sub(blocks.start)) * size;
            self.punch(files, u64::from(blocks.start) * size, length)?;
            step("run punched");
        }
        Ok(())
    }

    /// Says whether the map had to be changed.
    fn record_run(&self, files: &Files, blocks: Range<u32>, on: bool) -> Result<bool, SparseError> {
        let written = lock(&self.map).write_run(&files.map, blocks, on);
        written.map_err(SparseError::io("write", &self.map_path))
    }

    /// Waits until nobody else changes any of these blocks; those beyond the file's end are none.
    fn claim_run(&self, blocks: Range<u32>) -> RunClaim<'_> {
        let blocks = blocks.start.min(self.shape.blocks)..blocks.end.min(self.shape.blocks);
        let mut states = lock(&self.blocks);
        while !states.claim_run(blocks.clone()) {
            let woken = self.unclaimed.wait(states);
            states = woken.unwrap_or_else(PoisonError::into_inner);
        }
        drop(states);
        RunClaim { file: self, blocks }
    }
}

/// Whether nothing was ever written to these bytes. A file system without holes has none.
fn is_hole(data: &File, offset: u64, length: usize) -> std::io::Result<bool> {
    match rustix::fs::seek(data, SeekFrom::Data(offset)) {
        Ok(next) => Ok(next >= offset.saturating_add(length as u64)),
        // There is no data behind the offset.
        Err(rustix::io::Errno::NXIO) => Ok(true),
        Err(rustix::io::Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
