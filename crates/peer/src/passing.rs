//! Pieces of a task that the store does not keep: a bounded window in memory, from which readers, the
//! SHA-256 pass and other nodes are served.
//!
//! Pure: which pieces are here, who needs them, which go. Reasons stand in docs/full-disk.md.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use content::{PieceDigest, PieceIndex, PieceSet, Run};

use crate::demand::Want;

/// How much memory all tasks that are not kept may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    users: AtomicU64,
}

/// One task's part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Arc<Budget>);

/// However many tasks share the memory, each has so much: enough for some of the largest pieces.
const LEAST: u64 = 4 << 20;

/// So much is asked for ahead of a reader, and no more: the rest of a share is for what comes out of
/// order.
const AHEAD: u64 = 16 << 20;

impl Budget {
    /// `total` bytes for all.
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, users: AtomicU64::new(0) })
    }

    /// A part of it.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        self.users.fetch_add(1, Ordering::Relaxed);
        Share(Arc::clone(self))
    }
}

impl Share {
    /// How many bytes the task may hold.
    pub(crate) fn bytes(&self) -> u64 {
        let users = self.0.users.load(Ordering::Relaxed).max(1);
        (self.0.total / users).max(LEAST)
    }

    /// How many pieces of `size` bytes are asked for ahead of a reader.
    pub(crate) fn ahead(&self, size: u64) -> u32 {
        // As much again may wait for the SHA-256 pass, and some comes out of order.
        let bytes = (self.bytes() / 4).clamp(LEAST / 2, AHEAD);
        u32::try_from(bytes / size.max(1)).unwrap_or(u32::MAX).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

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

/// Who needs pieces: those at or ahead of a reader, and those that the SHA-256 pass comes to.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    /// The readers.
    pub(crate) readers: &'a [Want],
    /// The pieces between the pass and the first that is not here.
    pub(crate) hash: Run,
}

impl Needs<'_> {
    /// How far the piece is ahead of the nearest reader that comes to it; `None` if no reader does.
    fn distance(&self, index: PieceIndex) -> Option<u32> {
        let coming = self.readers.iter().filter(|r| r.reader_at <= index && index < r.run.end);
        coming.map(|reader| index - reader.reader_at).min()
    }

    fn has(&self, index: PieceIndex) -> bool {
        self.hash.contains(index) || self.distance(index).is_some()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::control::Priority;

    const KIB: usize = 1024;

    const fn reader(at: u32, end: u32) -> Want {
        Want { run: Run { first: at, end }, reader_at: at, priority: Priority::Pull }
    }

    const fn needs(readers: &[Want]) -> Needs<'_> {
        Needs { readers, hash: Run::EMPTY }
    }

    fn admit(passing: &mut Passing, index: u32, needs: &Needs<'_>, most: u64) -> Admitted {
        passing.admit(index, Bytes::from(vec![1; KIB]), true, needs, most)
    }

    fn here(passing: &Passing) -> Vec<u32> {
        passing.held.keys().copied().collect()
    }

    #[test]
    fn a_piece_stays_until_all_readers_have_passed() {
        let mut passing = Passing::default();
        let both = [reader(0, 10), reader(2, 10)];
        for index in 0..4 {
            assert_eq!(admit(&mut passing, index, &needs(&both), 1 << 20), Admitted::Held);
        }
        passing.release(&needs(&[reader(1, 10), reader(4, 10)]));
        assert_eq!(here(&passing), [1, 2, 3]);
        passing.release(&needs(&[reader(4, 10)]));
        assert!(here(&passing).is_empty() && passing.bytes == 0);
        let late = admit(&mut passing, 3, &needs(&[reader(4, 10)]), 1 << 20);
        assert_eq!(late, Admitted::Passed);
    }

    #[test]
    fn the_pass_keeps_what_it_comes_to() {
        let mut passing = Passing::default();
        for index in 0..4 {
            admit(&mut passing, index, &needs(&[reader(0, 10)]), 1 << 20);
        }
        let readers = [reader(4, 10)];
        passing.release(&Needs { readers: &readers, hash: Run { first: 2, end: 4 } });
        assert_eq!(here(&passing), [2, 3]);
    }

    #[test]
    fn what_is_nearest_ahead_of_a_reader_has_the_room() {
        let mut passing = Passing::default();
        let readers = [reader(0, 100)];
        let needs = needs(&readers);
        let most = 3 * KIB as u64;
        for index in [50, 40, 30] {
            assert_eq!(admit(&mut passing, index, &needs, most), Admitted::Held);
        }
        assert_eq!(admit(&mut passing, 60, &needs, most), Admitted::Refused);
        assert_eq!(admit(&mut passing, 10, &needs, most), Admitted::Held);
        assert_eq!(here(&passing), [10, 30, 40]);
        // What the reader waits for is taken, whatever the limit says.
        assert_eq!(admit(&mut passing, 0, &needs, KIB as u64), Admitted::Held);
    }

    #[test]
    fn before_anybody_reads_everything_is_taken() {
        let mut passing = Passing::default();
        assert_eq!(admit(&mut passing, 0, &needs(&[]), 1 << 20), Admitted::Held);
        assert!(passing.get(0).is_some() && passing.verified(0).is_some());
    }

    #[test]
    fn handed_on_pieces_go_once_somebody_has_them() {
        let mut passing = Passing::default();
        let most = 3 * KIB as u64;
        let nobody = Needs { readers: &[], hash: Run { first: 1, end: 3 } };
        for index in 0..3 {
            assert!(passing.make_room(KIB as u64, &nobody, most, false));
            admit(&mut passing, index, &nobody, most);
        }
        assert!(!passing.make_room(KIB as u64, &nobody, most, false), "nobody has any of them");
        passing.sent(0);
        passing.sent(1); // the pass has not seen it yet
        assert!(passing.make_room(KIB as u64, &nobody, most, false));
        assert_eq!(here(&passing), [1, 2]);
        assert!(!passing.make_room(2 * KIB as u64, &nobody, most, true));
        let seen = Needs { readers: &[], hash: Run::EMPTY };
        assert!(passing.make_room(3 * KIB as u64, &seen, most, true));
        assert!(here(&passing).is_empty());
    }

    #[test]
    fn what_has_gone_is_told_once_and_not_while_it_is_wanted() {
        let mut passing = Passing::default();
        for index in 0..4 {
            admit(&mut passing, index, &needs(&[reader(0, 10)]), 1 << 20);
        }
        passing.release(&needs(&[reader(3, 10)]));
        let gone = passing.take_gone(10, Run { first: 2, end: 10 });
        assert_eq!(gone.iter().collect::<Vec<_>>(), [0, 1]);
        assert!(passing.is_going(2));
        let gone = passing.take_gone(10, Run { first: 3, end: 10 });
        assert_eq!(gone.iter().collect::<Vec<_>>(), [2]);
        assert!(passing.take_gone(10, Run::EMPTY).is_empty());
    }

    #[test]
    fn what_comes_again_has_to_be_the_same() {
        let mut passing = Passing::default();
        assert!(passing.agrees(1, PieceDigest::of(b"a")));
        assert!(passing.agrees(1, PieceDigest::of(b"a")));
        assert!(!passing.agrees(1, PieceDigest::of(b"b")));
    }

    #[test]
    fn tasks_share_the_memory_and_each_has_some() {
        let budget = Budget::new(64 << 20);
        let one = budget.share();
        assert_eq!((one.bytes(), one.ahead(1 << 20)), (64 << 20, 16));
        let many: Vec<_> = (0..31).map(|_| budget.share()).collect();
        assert_eq!((one.bytes(), one.ahead(1 << 20)), (4 << 20, 2));
        drop(many);
        assert_eq!(one.bytes(), 64 << 20);
    }
}
