//! Blocks come, change their standing and go, in the order that makes a crash harmless.

use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

use super::claim::Claim;
use super::handles::Files;
use super::{SparseFile, lock};
use crate::blocks::State;
use crate::error::SparseError;
use crate::steps::step;

impl SparseFile {
    /// Writes a block whose bytes the caller has verified: it is then present and recorded. Says
    /// whether anything was written: bytes that are present already are left alone.
    ///
    /// # Errors
    /// If the bytes do not fill the block, or the disk refuses; the block is then absent.
    pub fn write(&self, block: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let offset = self.fits(block, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        if claim.before == State::Present {
            return Ok(false);
        }
        self.overwrite(&claim, &files, offset, bytes)?;
        self.record(&files, block, true)?;
        step("bit set");
        claim.end(State::Present);
        Ok(true)
    }

    /// Writes a block whose bytes are not yet known to be right. Bytes that are present, or
    /// provisional already, are left alone. Says whether anything was written.
    ///
    /// # Errors
    /// If the bytes do not fill the block, or the disk refuses; the block is then absent.
    pub fn write_provisional(&self, block: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let offset = self.fits(block, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        if matches!(claim.before, State::Present | State::Provisional) {
            return Ok(false);
        }
        self.overwrite(&claim, &files, offset, bytes)?;
        claim.end(State::Provisional);
        Ok(true)
    }

    /// Puts bytes in the place of what is not present. Until the claim ends with a state, the
    /// block is absent, here and in the map.
    fn overwrite(
        &self,
        claim: &Claim<'_>,
        files: &Files,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), SparseError> {
        if claim.before != State::Absent {
            lock(&self.blocks).set(claim.block, State::Absent);
        }
        if claim.before == State::Recorded {
            self.record(files, claim.block, false)?;
            step("bit cleared before overwriting");
        }
        let written = files.data.write_all_at(bytes, offset);
        written.map_err(SparseError::io("write", &self.data_path))?;
        step("data written");
        Ok(())
    }

    /// The caller has verified a recorded block's bytes: it is present. Says whether it was
    /// recorded; any other state is left as it is.
    pub fn confirm(&self, block: u32) -> bool {
        let claim = self.claim(block);
        let recorded = claim.before == State::Recorded;
        if recorded {
            claim.end(State::Present);
        }
        recorded
    }

    /// The caller has verified a provisional block's bytes: it is present and recorded. Says
    /// whether it was provisional; any other state is left as it is.
    ///
    /// # Errors
    /// If the disk refuses; the block then stays provisional.
    pub fn promote(&self, block: u32) -> Result<bool, SparseError> {
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        let provisional = claim.before == State::Provisional;
        if provisional {
            self.record(&files, block, true)?;
            step("bit of a provisional block set");
            claim.end(State::Present);
        }
        Ok(provisional)
    }

    /// Forgets a block and gives its space back: clears its bit first, then punches a hole.
    ///
    /// # Errors
    /// If the disk refuses; the block is absent for this run all the same.
    pub fn drop_block(&self, block: u32) -> Result<(), SparseError> {
        self.drop_if(block, |_| true).map(|_| ())
    }

    /// Forgets a recorded block whose bytes turned out wrong; any other state is left as it is, for
    /// somebody else may have written the block anew. Says whether it was recorded.
    ///
    /// # Errors
    /// If the disk refuses; the block is absent for this run all the same.
    pub fn reject(&self, block: u32) -> Result<bool, SparseError> {
        self.drop_if(block, |state| state == State::Recorded)
    }

    fn drop_if(&self, block: u32, wanted: fn(State) -> bool) -> Result<bool, SparseError> {
        let Some((offset, _)) = self.extent(block) else {
            return Ok(false);
        };
        let claim = self.claim(block);
        let before = claim.before;
        if before == State::Absent || !wanted(before) {
            return Ok(false);
        }
        // Nobody begins to read it from here on, and who reads it now will see the drop counter.
        claim.mark(State::Absent);
        let files = self.files_to_write()?;
        if before != State::Provisional {
            self.record(&files, block, false)?;
            step("bit cleared");
        }
        // The hole's end is rounded up past a short last block, so that its last page goes too.
        let size = u64::from(self.shape.block_size);
        self.punch(&files, offset, size)?;
        step("hole punched");
        Ok(true)
    }

    pub(super) fn punch(&self, files: &Files, offset: u64, length: u64) -> Result<(), SparseError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&files.data, flags, offset, length) {
            // Without holes the space is given back when the file goes, or is written anew.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(SparseError::io("punch", &self.data_path)(errno.into())),
        }
    }

    /// Where the block's bytes go, if `bytes` are as many as it has.
    fn fits(&self, block: u32, bytes: &[u8]) -> Result<u64, SparseError> {
        match self.extent(block) {
            Some((offset, length)) if length == bytes.len() => Ok(offset),
            _ => Err(SparseError::NoSuchBlock {
                path: self.data_path.clone(),
                block,
                bytes: bytes.len(),
            }),
        }
    }

    fn record(&self, files: &Files, block: u32, on: bool) -> Result<(), SparseError> {
        let written = lock(&self.map).write(&files.map, block, on);
        written.map_err(SparseError::io("write", &self.map_path))
    }
}
