//! Bytes that can be sent straight from the data file, without being read first.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use crate::error::ReadError;
use crate::task::{Lease, Task};

/// A range of a task whose pieces were all verified in this run. The task is in use, and stays, as
/// long as this lives.
#[derive(Debug)]
pub struct Ready {
    file: Arc<File>,
    range: Range<u64>,
    drops: u64,
    lease: Lease,
}

impl Task {
    /// `range`, if all of it lies in pieces that were verified in this run: what an earlier run
    /// recorded is read by [`Task::read_piece`] first, which verifies it.
    ///
    /// # Errors
    /// If the data file cannot be opened.
    pub fn ready(self: &Arc<Self>, range: Range<u64>) -> Result<Option<Ready>, ReadError> {
        // In this order: what goes away after the look at the pieces raises the count.
        let drops = self.file.drops();
        if !self.is_ready(range.clone()) {
            return Ok(None);
        }
        let lease = self.lease();
        Ok(Some(Ready { file: self.file()?, range, drops, lease }))
    }
}

impl Ready {
    /// The data file; a byte lies in it where it lies in the task.
    #[must_use]
    pub const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The range.
    #[must_use]
    pub const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Whether everything that was taken from the file until now was what had been verified. Once
    /// false it stays so: a piece of the task was found damaged, or the task was removed, and
    /// nothing that was sent since can be vouched for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lease.task().file.drops() == self.drops
    }
}
