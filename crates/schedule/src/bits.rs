//! Sets of pieces as words, so that sixty-four pieces are compared at once.

use content::{PieceIndex, PieceSet, Run};

/// A set of pieces. Bits beyond its length are never set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub(crate) fn none(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize] }
    }

    pub(crate) fn get(&self, piece: PieceIndex) -> bool {
        self.word(piece as usize / 64) >> (piece % 64) & 1 == 1
    }

    /// Says whether it was new. The piece lies within the length.
    pub(crate) fn set(&mut self, piece: PieceIndex) -> bool {
        let word = &mut self.words[piece as usize / 64];
        let before = *word;
        *word |= 1 << (piece % 64);
        *word != before
    }

    /// Says whether it was there.
    pub(crate) fn clear(&mut self, piece: PieceIndex) -> bool {
        let word = &mut self.words[piece as usize / 64];
        let before = *word;
        *word &= !(1 << (piece % 64));
        *word != before
    }

    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// The first piece at or after `from`.
    pub(crate) fn first_at(&self, from: PieceIndex) -> Option<PieceIndex> {
        let mut index = from as usize / 64;
        let mut word = self.word(index) & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(piece_of(index, word.trailing_zeros()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let mut next = self.first_at(0);
        std::iter::from_fn(move || {
            let piece = next?;
            next = self.first_at(piece + 1);
            Some(piece)
        })
    }

    pub(crate) fn to_set(&self, count: u32) -> PieceSet {
        let mut set = PieceSet::none(count);
        for piece in self.iter() {
            set.insert(piece);
        }
        set
    }

    /// How many pieces are in both.
    pub(crate) fn overlap(&self, held: &Held) -> u32 {
        match held {
            Held::All => self.words.iter().map(|word| word.count_ones()).sum(),
            Held::Some(bits) => {
                let pairs = self.words.iter().zip(&bits.words);
                pairs.map(|(a, b)| (a & b).count_ones()).sum()
            }
        }
    }
}

/// What a node holds of a task. Most nodes hold all or nothing of most tasks, and then no bit map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    All,
    Some(Bits),
}

impl Held {
    pub(crate) fn get(&self, piece: PieceIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.get(piece),
        }
    }

    /// Sixty-four pieces; beyond the task's end they may be set.
    pub(crate) fn word(&self, index: usize) -> u64 {
        match self {
            Self::All => u64::MAX,
            Self::Some(bits) => bits.word(index),
        }
    }

    pub(crate) fn pieces(&self, count: u32) -> Vec<PieceIndex> {
        match self {
            Self::All => (0..count).collect(),
            Self::Some(bits) => bits.iter().collect(),
        }
    }
}

/// The words that `run` touches, each with the mask of the run's pieces in it.
pub(crate) fn words_of(run: Run) -> impl Iterator<Item = (usize, u64)> {
    let (first, end) = (run.first as usize, run.end.max(run.first) as usize);
    (first / 64..end.div_ceil(64)).map(move |index| {
        let low = u64::MAX << first.saturating_sub(index * 64).min(63);
        let upper = end - index * 64;
        let high = if upper >= 64 { u64::MAX } else { (1 << upper) - 1 };
        (index, low & high)
    })
}

/// The pieces of one word.
pub(crate) fn pieces_of(index: usize, mut word: u64) -> impl Iterator<Item = PieceIndex> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let piece = piece_of(index, word.trailing_zeros());
        word &= word - 1;
        Some(piece)
    })
}

fn piece_of(index: usize, bit: u32) -> PieceIndex {
    u32::try_from(index * 64).unwrap_or(u32::MAX) + bit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_run_cover_exactly_its_pieces() {
        for (first, end) in [(0, 0), (0, 1), (3, 64), (63, 65), (64, 128), (10, 200), (7, 7)] {
            let run = Run { first, end };
            let pieces: Vec<_> =
                words_of(run).flat_map(|(index, mask)| pieces_of(index, mask)).collect();
            assert_eq!(pieces, run.iter().collect::<Vec<_>>(), "{run:?}");
        }
    }

    #[test]
    fn the_first_piece_is_found_across_words() {
        let mut bits = Bits::none(200);
        assert_eq!(bits.first_at(0), None);
        assert!(bits.set(130) && !bits.set(130));
        assert!(bits.set(5));
        assert_eq!(bits.first_at(0), Some(5));
        assert_eq!(bits.first_at(6), Some(130));
        assert_eq!(bits.first_at(131), None);
        assert_eq!(bits.first_at(999), None);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [5, 130]);
        assert!(bits.clear(5) && !bits.clear(5));
        assert_eq!(bits.overlap(&Held::All), 1);
    }
}
