//! What happens when, in the simulator.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Microseconds: the simulator is finer than the scheduler.
pub type Micros = u64;

/// Things that will happen; those of one moment in the order in which they were entered.
pub struct Calendar<T> {
    heap: BinaryHeap<Entry<T>>,
    sequence: u64,
}

struct Entry<T> {
    at: Micros,
    sequence: u64,
    what: T,
}

impl<T> Calendar<T> {
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    pub fn enter(&mut self, at: Micros, what: T) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, what });
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Micros> {
        Some(self.heap.peek()?.at)
    }

    pub fn pop(&mut self) -> Option<T> {
        Some(self.heap.pop()?.what)
    }
}

// The heap gives the greatest first, so the earliest is the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl<T> Eq for Entry<T> {}
