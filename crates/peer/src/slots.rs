//! The places of an uploader: so many in all, and of them so many for one receiver, so that one
//! that takes its bytes slowly keeps them from nobody else.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::lock::lock;

/// The places.
#[derive(Debug)]
pub struct Slots {
    all: usize,
    each: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    taken: HashMap<String, usize>,
}

/// A place that is taken; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    name: String,
}

impl Slots {
    /// `all` places, `each` of them at most for one receiver; at least one of both.
    #[must_use]
    pub fn new(all: u32, each: u32) -> Self {
        let (all, each) = (all.max(1) as usize, each.max(1) as usize);
        Self { all, each, state: Mutex::default() }
    }

    /// A place for `name`; `None` if all are taken, or it has had its share.
    pub(crate) fn take(&self, name: &str) -> Option<Slot<'_>> {
        let mut state = lock(&self.state);
        let had = state.taken.get(name).copied().unwrap_or(0);
        if state.total >= self.all || had >= self.each {
            return None;
        }
        state.total += 1;
        state.taken.insert(name.to_owned(), had + 1);
        Some(Slot { slots: self, name: name.to_owned() })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.slots.state);
        state.total = state.total.saturating_sub(1);
        if let Some(had) = state.taken.get_mut(&self.name) {
            *had -= 1;
            if *had == 0 {
                state.taken.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_its_share_and_all_no_more_than_there_are() {
        let slots = Slots::new(5, 2);
        let mut greedy: Vec<_> = (0..5).filter_map(|_| slots.take("greedy")).collect();
        assert_eq!(greedy.len(), 2);
        let others: Vec<_> = ["a", "b", "c", "d"].iter().filter_map(|it| slots.take(it)).collect();
        assert_eq!(others.len(), 3, "all are taken");
        greedy.pop();
        assert!(slots.take("d").is_some(), "one is free again");
        drop((greedy, others));
        assert!(lock(&slots.state).taken.is_empty());
    }
}
