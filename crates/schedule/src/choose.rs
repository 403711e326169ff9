//! Which run of pieces one node should take from another.

use content::{PieceIndex, Run};

use crate::bits::{Held, pieces_of, words_of};
use crate::event::Priority;
use crate::policy::Policy;
use crate::task::{Pull, Task};

/// A piece to begin a run with, and how much it is worth to move it now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pick {
    /// Lower is better.
    pub(crate) rank: u32,
    pub(crate) piece: PieceIndex,
}

/// Of which pieces a lease may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// Those that were never sent to anybody.
    NeverSent,
    /// All.
    Any,
}

/// What limits a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunLimit {
    pub(crate) which: Which,
    /// The bytes that a lease should have.
    pub(crate) bytes: u64,
}

/// How rare a piece is, in steps that matter: few copies are counted exactly, many in steps of an
/// eighth, so that well-spread pieces tie and are taken in order, in long runs.
pub(crate) const fn rank(copies: u32) -> u32 {
    if copies < 16 {
        return copies;
    }
    let octave = copies.ilog2();
    octave * 8 - 16 + ((copies >> (octave - 3)) & 7)
}

impl Task {
    /// The rarest piece in the receiver's window that `held` has; among equals, the next that the
    /// reader comes to.
    pub(crate) fn pick(
        &self,
        held: &Held,
        pull: &Pull,
        which: Which,
        policy: &Policy,
    ) -> Option<Pick> {
        let urgent_end = match pull.priority {
            Priority::Blocked => pull.reader_at.saturating_add(policy.urgent_pieces),
            _ => 0,
        };
        let alone = self.receivers <= 1;
        let mut best: Option<Pick> = None;
        for (index, mask) in words_of(pull.window) {
            let mut word = held.word(index) & pull.open.word(index) & mask;
            if which == Which::NeverSent {
                word &= self.unsent.word(index);
            }
            for piece in pieces_of(index, word) {
                if alone || which == Which::NeverSent || piece < urgent_end {
                    return Some(Pick { rank: 0, piece });
                }
                let rank = rank(self.copies[piece as usize]);
                if best.is_none_or(|best| rank < best.rank) {
                    best = Some(Pick { rank, piece });
                }
            }
        }
        best
    }

    /// The run that begins with a picked piece: as long as its pieces are as rare, and the lease
    /// takes no longer than it should.
    pub(crate) fn run_from(
        &self,
        pick: Pick,
        held: &Held,
        pull: &Pull,
        limit: RunLimit,
        policy: &Policy,
    ) -> Run {
        let alone = self.receivers <= 1;
        let most = self.most_pieces(pull, limit, policy);
        let stop = pull.window.end.min(pick.piece.saturating_add(most));
        let urgent = pull.priority == Priority::Blocked;
        let mut end = pick.piece + 1;
        while end < stop
            && pull.open.get(end)
            && held.get(end)
            && (limit.which == Which::Any || self.unsent.get(end))
            && (alone || urgent || rank(self.copies[end as usize]) <= pick.rank)
        {
            end += 1;
        }
        Run { first: pick.piece, end }
    }

    fn most_pieces(&self, pull: &Pull, limit: RunLimit, policy: &Policy) -> u32 {
        let piece = self.layout.piece_size().bytes();
        let bytes = limit.bytes.min(policy.max_run_bytes);
        let by_bytes = u32::try_from(bytes / piece).unwrap_or(u32::MAX);
        let most = by_bytes.min(policy.max_run_pieces);
        if self.receivers <= 1 {
            return most.max(1);
        }
        // What is left is spread over the leases that the receiver may have, twice, so that the
        // last ones are small and come from many parents.
        let share = pull.open_count.div_ceil(2 * policy.leases_per_receiver.max(1));
        most.min(share).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn ranks_grow_with_copies_and_never_jump() {
        let mut last = 0;
        for copies in 0..100_000 {
            let now = rank(copies);
            assert!(now == last || now == last + 1, "{copies}: {last} to {now}");
            last = now;
        }
        assert_eq!(rank(15), 15);
        assert_eq!(rank(16), 16);
        assert_eq!(rank(1000), rank(960));
    }
}
