//! What is known of each block of one file: pure bookkeeping, no I/O.

use std::ops::Range;

use fixedbitset::FixedBitSet;

/// What is known of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing is there.
    Absent,
    /// An earlier run recorded it. It is a claim until its bytes were verified once more.
    Recorded,
    /// Its bytes were verified in this run and are on disk.
    Present,
    /// Its bytes are on disk and not yet known to be right. A crash forgets it.
    Provisional,
}

/// The states of all blocks of a file, and which of them somebody is changing.
///
/// A block is in at most one of the three state sets.
#[derive(Debug)]
pub(crate) struct Blocks {
    recorded: FixedBitSet,
    present: FixedBitSet,
    provisional: FixedBitSet,
    claimed: FixedBitSet,
    held: u64,
    drops: u64,
    deleted: bool,
    length: u64,
    block_size: u64,
}

impl Blocks {
    /// All blocks of a file of `length` bytes, those in `recorded` being claims.
    pub(crate) fn new(length: u64, block_size: u32, recorded: FixedBitSet) -> Self {
        let count = recorded.len();
        let mut blocks = Self {
            recorded,
            present: FixedBitSet::with_capacity(count),
            provisional: FixedBitSet::with_capacity(count),
            claimed: FixedBitSet::with_capacity(count),
            held: 0,
            drops: 0,
            deleted: false,
            length,
            block_size: u64::from(block_size),
        };
        blocks.held = blocks.recorded.ones().map(|block| blocks.size(block)).sum();
        blocks
    }

    /// How many bytes block `block` has.
    fn size(&self, block: usize) -> u64 {
        let start = block as u64 * self.block_size;
        self.length.saturating_sub(start).min(self.block_size)
    }

    pub(crate) fn state(&self, block: u32) -> State {
        let block = block as usize;
        if self.present.contains(block) {
            State::Present
        } else if self.recorded.contains(block) {
            State::Recorded
        } else if self.provisional.contains(block) {
            State::Provisional
        } else {
            State::Absent
        }
    }

    /// The file is no more: every block is absent from here on.
    pub(crate) fn delete(&mut self) {
        for set in [&mut self.recorded, &mut self.present, &mut self.provisional] {
            set.clear();
        }
        self.held = 0;
        self.drops += 1;
        self.deleted = true;
    }

    /// Moves a block of the file to another state. Bytes that stop being what they were raise the
    /// drop counter.
    pub(crate) fn set(&mut self, block: u32, state: State) {
        if self.deleted {
            return;
        }
        let before = self.state(block);
        let block = block as usize;
        self.recorded.set(block, state == State::Recorded);
        self.present.set(block, state == State::Present);
        self.provisional.set(block, state == State::Provisional);
        let size = self.size(block);
        match (before, state) {
            (State::Absent, State::Absent) => {}
            (State::Absent, _) => self.held += size,
            (_, State::Absent) => {
                self.held -= size;
                self.drops += 1;
            }
            _ => {}
        }
    }

    /// Claims a block for a change; false if somebody else has it.
    pub(crate) fn claim(&mut self, block: u32) -> bool {
        !self.claimed.put(block as usize)
    }

    /// Claims a run for a change; false, and none of it is claimed, if somebody else has one of it.
    pub(crate) fn claim_run(&mut self, blocks: Range<u32>) -> bool {
        let range = blocks.start as usize..blocks.end as usize;
        if self.claimed.contains_any_in_range(range.clone()) {
            return false;
        }
        self.claimed.insert_range(range);
        true
    }

    /// What is known of all of a run. Blocks beyond the end are absent.
    pub(crate) fn run_state(&self, blocks: Range<u32>) -> State {
        let range = blocks.start as usize..blocks.end as usize;
        if range.end > self.present.len() {
            return State::Absent;
        }
        if self.present.contains_all_in_range(range) {
            return State::Present;
        }
        let known = |state| matches!(state, State::Present | State::Recorded);
        let mut all = blocks.map(|block| self.state(block));
        if all.all(known) { State::Recorded } else { State::Absent }
    }

    pub(crate) fn set_run(&mut self, blocks: Range<u32>, state: State) {
        for block in blocks {
            self.set(block, state);
        }
    }

    pub(crate) fn unclaim(&mut self, block: u32) {
        self.claimed.remove(block as usize);
    }

    /// How often bytes went away. Equal before and after a read: the read bytes were there.
    pub(crate) const fn drops(&self) -> u64 {
        self.drops
    }

    /// How many bytes all blocks that are not absent have together.
    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    pub(crate) const fn present(&self) -> &FixedBitSet {
        &self.present
    }

    pub(crate) const fn provisional(&self) -> &FixedBitSet {
        &self.provisional
    }

    /// How many blocks of a run are not absent.
    pub(crate) fn count(&self, blocks: Range<u32>) -> usize {
        let count = self.present.len();
        let range = (blocks.start as usize).min(count)..(blocks.end as usize).min(count);
        let sets = [&self.recorded, &self.present, &self.provisional];
        sets.iter().map(|set| set.count_ones(range.clone())).sum()
    }

    /// Present and recorded blocks: what may be claimed.
    pub(crate) fn recorded_and_present(&self) -> FixedBitSet {
        let mut set = self.recorded.clone();
        set.union_with(&self.present);
        set
    }

    /// Every block that is not absent.
    pub(crate) fn local(&self) -> FixedBitSet {
        let mut set = self.recorded_and_present();
        set.union_with(&self.provisional);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_in_one_state_and_its_bytes_count_once() {
        let mut blocks = Blocks::new(25, 10, FixedBitSet::with_capacity(3));
        assert_eq!(blocks.held(), 0);
        blocks.set(2, State::Provisional);
        assert_eq!((blocks.state(2), blocks.held()), (State::Provisional, 5));
        blocks.set(2, State::Present);
        assert_eq!((blocks.state(2), blocks.held()), (State::Present, 5));
        blocks.set(0, State::Present);
        assert_eq!((blocks.held(), blocks.drops()), (15, 0));
        blocks.set(2, State::Absent);
        assert_eq!((blocks.held(), blocks.drops()), (10, 1));
        assert_eq!(blocks.local().ones().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_block_has_one_claim() {
        let mut blocks = Blocks::new(1, 1, FixedBitSet::with_capacity(1));
        assert!(blocks.claim(0));
        assert!(!blocks.claim(0));
        blocks.unclaim(0);
        assert!(blocks.claim(0));
    }
}
