//! What the readers of one task want together.
//!
//! Pure: a reader is a number, a run of pieces, a position and a priority.

use std::collections::{BTreeMap, BTreeSet};

use content::{PieceIndex, Run};
use wire::control::Priority;

/// What is wanted of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// The pieces.
    pub run: Run,
    /// The piece that the most urgent reader is at.
    pub reader_at: PieceIndex,
    /// The highest priority of all readers.
    pub priority: Priority,
}

/// All readers of one task.
#[derive(Debug, Default)]
pub struct Demand {
    next: u64,
    readers: BTreeMap<u64, Want>,
    /// Those that wait for the piece that they are at.
    waiting: BTreeSet<u64>,
    spent: bool,
}

impl Demand {
    /// A new reader's number. With it nothing is spent.
    pub fn add(&mut self, want: Want) -> u64 {
        self.spent = false;
        let number = self.next;
        self.next += 1;
        self.readers.insert(number, want);
        number
    }

    /// A reader has moved, or wants something else.
    pub fn update(&mut self, number: u64, want: Want) {
        if let Some(entry) = self.readers.get_mut(&number) {
            *entry = want;
        }
    }

    /// A reader has gone; says whether it was the last one.
    pub fn remove(&mut self, number: u64) -> bool {
        self.readers.remove(&number);
        self.waiting.remove(&number);
        self.readers.is_empty()
    }

    /// Nobody begins to read it any more, unless somebody has come; says whether it is so.
    pub fn spend(&mut self) -> bool {
        self.spent = self.readers.is_empty();
        self.spent
    }

    /// Whether nobody begins to read it any more.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.spent
    }

    /// Whether a reader waits for the piece that it is at.
    pub fn set_waiting(&mut self, number: u64, waits: bool) {
        if waits && self.readers.contains_key(&number) {
            self.waiting.insert(number);
        } else {
            self.waiting.remove(&number);
        }
    }

    /// Where the reader is that waits; the one behind of several.
    #[must_use]
    pub fn waiting(&self) -> Option<PieceIndex> {
        let waiting = self.waiting.iter().filter_map(|number| self.readers.get(number));
        waiting.filter(|want| !want.run.is_empty()).map(|want| want.reader_at).min()
    }

    /// What each reader wants; those that want nothing more left out.
    #[must_use]
    pub fn readers(&self) -> Vec<Want> {
        self.readers.values().filter(|want| !want.run.is_empty()).copied().collect()
    }

    /// What all readers want together: the span of their runs, at the most urgent one's position.
    #[must_use]
    pub fn together(&self) -> Option<Want> {
        self.readers.values().copied().reduce(|all, one| Want {
            run: Run { first: all.run.first.min(one.run.first), end: all.run.end.max(one.run.end) },
            reader_at: match one.priority.cmp(&all.priority) {
                std::cmp::Ordering::Less => one.reader_at,
                std::cmp::Ordering::Equal => all.reader_at.min(one.reader_at),
                std::cmp::Ordering::Greater => all.reader_at,
            },
            priority: all.priority.min(one.priority),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn want(first: u32, end: u32, reader_at: u32, priority: Priority) -> Want {
        Want { run: Run { first, end }, reader_at, priority }
    }

    #[test]
    fn readers_want_together_until_the_last_has_gone() {
        let mut demand = Demand::default();
        assert_eq!(demand.together(), None);
        let pull = demand.add(want(0, 100, 40, Priority::Pull));
        let read = demand.add(want(80, 82, 80, Priority::Blocked));
        assert_eq!(demand.together(), Some(want(0, 100, 80, Priority::Blocked)));
        assert!(!demand.remove(read));
        demand.update(pull, want(50, 100, 50, Priority::Pull));
        assert_eq!(demand.together(), Some(want(50, 100, 50, Priority::Pull)));
        assert!(demand.remove(pull));
        assert_eq!(demand.together(), None);
    }

    #[test]
    fn of_those_that_wait_the_one_behind_counts() {
        let mut demand = Demand::default();
        let ahead = demand.add(want(7, 10, 7, Priority::Pull));
        let behind = demand.add(want(3, 10, 3, Priority::Pull));
        assert_eq!(demand.waiting(), None);
        demand.set_waiting(ahead, true);
        assert_eq!(demand.waiting(), Some(7));
        demand.set_waiting(behind, true);
        assert_eq!(demand.waiting(), Some(3));
        demand.set_waiting(behind, false);
        demand.remove(ahead);
        assert_eq!(demand.waiting(), None);
    }

    #[test]
    fn of_equal_readers_the_one_behind_counts() {
        let mut demand = Demand::default();
        demand.add(want(0, 10, 7, Priority::Pull));
        demand.add(want(0, 10, 3, Priority::Pull));
        assert_eq!(demand.together().map(|want| want.reader_at), Some(3));
    }
}
