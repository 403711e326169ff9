//! A set of pieces, as it is kept, asked for and told.

use fixedbitset::FixedBitSet;

use crate::task::{PieceIndex, Run};

/// Some of a task's pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PieceSet {
    bits: FixedBitSet,
}

impl PieceSet {
    /// No piece of `count`.
    #[must_use]
    pub fn none(count: u32) -> Self {
        Self { bits: FixedBitSet::with_capacity(count as usize) }
    }

    /// Every piece of `count`.
    #[must_use]
    pub fn all(count: u32) -> Self {
        let mut set = Self::none(count);
        set.bits.insert_range(..);
        set
    }

    /// From the little-endian bit map that [`Self::to_bytes`] makes: bits beyond `count` are
    /// dropped, missing ones are absent.
    #[must_use]
    pub fn from_bytes(count: u32, map: &[u8]) -> Self {
        let mut set = Self::none(count);
        for (byte_index, byte) in map.iter().enumerate() {
            for bit in 0..8 {
                let index = byte_index * 8 + bit;
                if byte & (1 << bit) != 0 && index < set.bits.len() {
                    set.bits.insert(index);
                }
            }
        }
        set
    }

    /// One bit a piece, least significant bit first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut map = vec![0; self.bits.len().div_ceil(8)];
        for index in self.bits.ones() {
            map[index / 8] |= 1 << (index % 8);
        }
        map
    }

    /// How many pieces the task has.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.bits.len()).unwrap_or(u32::MAX)
    }

    /// How many pieces the set holds.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.bits.count_ones(..)).unwrap_or(u32::MAX)
    }

    /// Whether the set holds no piece.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.is_clear()
    }

    /// Whether the set holds every piece.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bits.is_full()
    }

    /// Whether the set holds piece `index`.
    #[must_use]
    pub fn contains(&self, index: PieceIndex) -> bool {
        self.bits.contains(index as usize)
    }

    /// Adds piece `index`; says whether it was new. An index beyond the task is no piece.
    pub fn insert(&mut self, index: PieceIndex) -> bool {
        let index = index as usize;
        index < self.bits.len() && !self.bits.put(index)
    }

    /// Adds every piece of `run` that the task has.
    pub fn insert_run(&mut self, run: Run) {
        let end = (run.end as usize).min(self.bits.len());
        if (run.first as usize) < end {
            self.bits.insert_range(run.first as usize..end);
        }
    }

    /// Takes piece `index` out.
    pub fn remove(&mut self, index: PieceIndex) {
        if (index as usize) < self.bits.len() {
            self.bits.remove(index as usize);
        }
    }

    /// Adds all of `other`.
    pub fn union_with(&mut self, other: &Self) {
        // `union_with` of fixedbitset would grow to the other's size.
        let count = self.bits.len();
        for index in other.bits.ones().take_while(|index| *index < count) {
            self.bits.insert(index);
        }
    }

    /// Takes all of `other` out.
    pub fn difference_with(&mut self, other: &Self) {
        self.bits.difference_with(&other.bits);
    }

    /// Keeps what `other` holds too.
    pub fn intersect_with(&mut self, other: &Self) {
        self.bits.intersect_with(&other.bits);
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.bits.ones().map(|index| u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The first piece that is not in the set, at or after `from`.
    #[must_use]
    pub fn first_missing(&self, from: PieceIndex) -> Option<PieceIndex> {
        (from..self.capacity()).find(|index| !self.contains(*index))
    }

    /// The set as runs of neighbours, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let mut pieces = self.iter().peekable();
        std::iter::from_fn(move || {
            let first = pieces.next()?;
            let mut end = first + 1;
            while pieces.next_if_eq(&end).is_some() {
                end += 1;
            }
            Some(Run { first, end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(count: u32, pieces: &[u32]) -> PieceSet {
        let mut set = PieceSet::none(count);
        for piece in pieces {
            set.insert(*piece);
        }
        set
    }

    #[test]
    fn runs_join_neighbours() {
        let runs: Vec<_> = set(12, &[0, 1, 2, 5, 7, 8, 11]).runs().collect();
        let run = |first, end| Run { first, end };
        assert_eq!(runs, [run(0, 3), run(5, 6), run(7, 9), run(11, 12)]);
        assert_eq!(PieceSet::none(0).runs().count(), 0);
    }

    #[test]
    fn the_bit_map_survives_the_way_out_and_back() {
        let before = set(19, &[0, 7, 8, 18]);
        assert_eq!(PieceSet::from_bytes(19, &before.to_bytes()), before);
    }

    #[test]
    fn a_map_that_is_too_long_or_too_short_is_cut() {
        assert_eq!(PieceSet::from_bytes(3, &[0xff, 0xff]), PieceSet::all(3));
        assert_eq!(PieceSet::from_bytes(20, &[1]), set(20, &[0]));
    }

    #[test]
    fn pieces_beyond_the_task_do_not_exist() {
        let mut pieces = PieceSet::none(3);
        assert!(!pieces.insert(3));
        assert!(pieces.insert(2) && !pieces.insert(2));
        pieces.insert_run(Run { first: 1, end: 9 });
        assert_eq!(pieces, set(3, &[1, 2]));
        pieces.union_with(&PieceSet::all(10));
        assert_eq!(pieces.capacity(), 3);
        assert!(pieces.is_full());
    }
}
