//! Bytes that are there, read so that no hole is taken for them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::fs::Advice;

use super::{SparseFile, lock};
use crate::blocks::State;
use crate::error::SparseError;

impl SparseFile {
    /// A block's bytes as they are on disk and the state that they were read in; `None` if it is
    /// absent, or went away while it was read. Also `None` where the data file has become too
    /// short: what it lost is absent.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_block(&self, block: u32) -> Result<Option<(State, Vec<u8>)>, SparseError> {
        let Some((offset, length)) = self.extent(block) else {
            return Ok(None);
        };
        loop {
            let (state, drops) = self.look(block);
            if state == State::Absent {
                return Ok(None);
            }
            let Some(bytes) = self.read_bytes(offset, length)? else {
                self.drop_block(block)?;
                return Ok(None);
            };
            // Bytes went away meanwhile, of this block or another: look again.
            if self.look(block).1 == drops {
                return Ok(Some((state, bytes)));
            }
        }
    }

    /// So many bytes from `offset`; `None` if the data file ends before.
    fn read_bytes(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>, SparseError> {
        let Some(files) = self.files_unless_deleted()? else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&files.data, spare_capacity(&mut bytes), at) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(SparseError::io("read", &self.data_path)(errno.into())),
            }
        }
        // A vector may have room for more than it was asked for.
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Reads bytes of present blocks only; false if one of them is not present.
    ///
    /// # Errors
    /// If the disk cannot be read, or the data file has become too short.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, SparseError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.shape.length {
            return Ok(false);
        }
        let size = u64::from(self.shape.block_size);
        let number = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
        let blocks = number(offset / size)..number(end.div_ceil(size));
        loop {
            let drops = lock(&self.blocks).drops();
            if !self.are_present(blocks.clone()) {
                return Ok(false);
            }
            let Some(files) = self.files_unless_deleted()? else {
                return Ok(false);
            };
            let read = files.data.read_exact_at(bytes, offset);
            read.map_err(SparseError::io("read", &self.data_path))?;
            if lock(&self.blocks).drops() == drops {
                return Ok(true);
            }
        }
    }

    /// The data file, for whoever sends straight from the page cache. Only ranges whose blocks
    /// [`Self::are_present`] hold anything that may be sent.
    ///
    /// # Errors
    /// If it cannot be opened, or was deleted.
    pub fn data(&self) -> Result<Arc<File>, SparseError> {
        self.files().map(|files| Arc::clone(&files.data))
    }

    /// Lets the kernel forget its copy of a block, so that the next read comes from the disk.
    pub fn uncache(&self, block: u32) {
        if let (Some((offset, length)), Ok(files)) = (self.extent(block), self.files()) {
            let length = std::num::NonZeroU64::new(length as u64);
            // Advice: whatever the kernel does with it, the bytes stay the same.
            let _ = rustix::fs::fadvise(&files.data, offset, length, Advice::DontNeed);
        }
    }

    fn look(&self, block: u32) -> (State, u64) {
        let blocks = lock(&self.blocks);
        (blocks.state(block), blocks.drops())
    }
}
