//! The right to change one block: one writer has it, the others wait.

use std::sync::PoisonError;

use super::{SparseFile, lock};
use crate::blocks::State;

/// The right to change one block. Dropping it gives the right back and leaves the state as marked.
pub(super) struct Claim<'a> {
    file: &'a SparseFile,
    pub(super) block: u32,
    pub(super) before: State,
}

impl SparseFile {
    /// Waits until nobody else changes the block.
    pub(super) fn claim(&self, block: u32) -> Claim<'_> {
        let mut blocks = lock(&self.blocks);
        if block >= self.shape.blocks {
            // Nothing to claim and nothing to change.
            let before = State::Absent;
            return Claim { file: self, block, before };
        }
        while !blocks.claim(block) {
            let woken = self.unclaimed.wait(blocks);
            blocks = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Claim { file: self, block, before: blocks.state(block) }
    }
}

impl Claim<'_> {
    pub(super) fn mark(&self, state: State) {
        lock(&self.file.blocks).set(self.block, state);
    }

    pub(super) fn end(self, state: State) {
        self.mark(state);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.block < self.file.shape.blocks {
            lock(&self.file.blocks).unclaim(self.block);
            self.file.unclaimed.notify_all();
        }
    }
}
