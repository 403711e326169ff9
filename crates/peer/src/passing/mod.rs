//! Pieces of a task that the store does not keep: a bounded window in memory, from which readers, the
//! SHA-256 pass and other nodes are served.
//!
//! Pure: which pieces are here, who needs them, which go. Reasons stand in docs/full-disk.md.

mod budget;
mod needs;
mod pass;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use content::{PieceDigest, PieceIndex, PieceSet, Run};

pub(crate) use self::budget::{Budget, Share};
pub(crate) use self::needs::Needs;
pub(crate) use self::pass::before_the_pass;

/// A piece in memory.
#[derive(Debug)]
struct Held {
    bytes: Bytes,
    /// Whether others may have it.
    verified: bool,
    /// Whether somebody was sent it.
    sent: bool,
}

/// What became of a piece that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admitted {
    /// It is here.
    Held,
    /// Nobody needs it any more.
    Passed,
    /// There is no room for it now.
    Refused,
}

/// The pieces of one task that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    held: BTreeMap<PieceIndex, Held>,
    bytes: u64,
    /// Digests of the pieces that came without a signed one, as they first came: what comes again
    /// has to be the same, or the one SHA-256 pass would not speak of it.
    own: HashMap<PieceIndex, PieceDigest>,
    /// Verified pieces that have gone and that nobody was told of yet.
    gone: Vec<PieceIndex>,
}

impl Passing {
    pub(crate) fn get(&self, index: PieceIndex) -> Option<Bytes> {
        self.held.get(&index).map(|held| held.bytes.clone())
    }

    /// A piece that others may have.
    pub(crate) fn verified(&self, index: PieceIndex) -> Option<Bytes> {
        self.held.get(&index).filter(|held| held.verified).map(|held| held.bytes.clone())
    }

    pub(crate) fn has(&self, index: PieceIndex) -> bool {
        self.held.contains_key(&index)
    }

    /// Adds the pieces that are here to `pieces`; provisional ones only if asked for.
    pub(crate) fn add_to(&self, pieces: &mut PieceSet, provisional: bool) {
        for (index, held) in &self.held {
            if held.verified || provisional {
                pieces.insert(*index);
            }
        }
    }

    /// Whether a piece without a signed digest is what it was when it first came.
    pub(crate) fn agrees(&mut self, index: PieceIndex, digest: PieceDigest) -> bool {
        *self.own.entry(index).or_insert(digest) == digest
    }

    /// Takes a piece in, if anybody needs it, or nobody has said yet what is needed. What is farthest
    /// ahead goes or stays out first; what a reader waits for is always taken.
    pub(crate) fn admit(
        &mut self,
        index: PieceIndex,
        bytes: Bytes,
        verified: bool,
        needs: &Needs<'_>,
        most: u64,
    ) -> Admitted {
        if self.has(index) {
            return Admitted::Held;
        }
        if !needs.readers.is_empty() && !needs.has(index) {
            return Admitted::Passed;
        }
        let length = bytes.len() as u64;
        let distance = needs.distance(index).unwrap_or(0);
        while self.bytes + length > most && distance > 0 {
            let farthest = self.held.keys().filter(|held| !needs.hash.contains(**held));
            let farthest = farthest.filter_map(|held| Some((needs.distance(*held)?, *held))).max();
            match farthest {
                Some((far, held)) if far > distance => self.drop_piece(held),
                _ => return Admitted::Refused,
            }
        }
        self.bytes += length;
        self.held.insert(index, Held { bytes, verified, sent: false });
        Admitted::Held
    }

    /// Drops what nobody needs.
    pub(crate) fn release(&mut self, needs: &Needs<'_>) {
        let passed: Vec<_> = self.held.keys().copied().filter(|index| !needs.has(*index)).collect();
        for index in passed {
            self.drop_piece(index);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        for index in self.held.keys().copied().collect::<Vec<_>>() {
            self.drop_piece(index);
        }
    }

    /// Somebody was sent the piece.
    pub(crate) fn sent(&mut self, index: PieceIndex) {
        if let Some(held) = self.held.get_mut(&index) {
            held.sent = true;
        }
    }

    /// Makes room for `length` bytes where pieces are only handed on: those that somebody was sent
    /// and that the pass has seen go, the first ones first; with `force` the others too. Says whether
    /// there is room now.
    pub(crate) fn make_room(
        &mut self,
        length: u64,
        needs: &Needs<'_>,
        most: u64,
        force: bool,
    ) -> bool {
        while self.bytes + length > most {
            let free = |index: &PieceIndex| !needs.has(*index);
            let sent = self.held.iter().filter(|(_, held)| held.sent).map(|(index, _)| *index);
            let next = sent.filter(free).min().or_else(|| {
                let any = self.held.keys().copied().find(free);
                any.filter(|_| force)
            });
            match next {
                Some(index) => self.drop_piece(index),
                None => return false,
            }
        }
        true
    }

    fn drop_piece(&mut self, index: PieceIndex) {
        if let Some(held) = self.held.remove(&index) {
            self.bytes -= held.bytes.len() as u64;
            if held.verified {
                self.gone.push(index);
            }
        }
    }

    /// The pieces that have gone since this was last asked, but those that are wanted again (they lie
    /// in `wanted`): of these nobody is told before they are wanted no more.
    pub(crate) fn take_gone(&mut self, count: u32, wanted: Run) -> PieceSet {
        let mut gone = PieceSet::none(count);
        let held = &self.held;
        self.gone.retain(|index| {
            let keep = wanted.contains(*index);
            if !keep && !held.contains_key(index) {
                gone.insert(*index);
            }
            keep
        });
        gone
    }

    /// Whether a piece has gone, and somebody has yet to be told.
    pub(crate) fn is_going(&self, index: PieceIndex) -> bool {
        self.gone.contains(&index)
    }
}
