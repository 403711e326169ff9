//! How many handshakes are under way: strangers can begin them, so they are counted by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The handshakes under way on one port.
pub(crate) struct Gate {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One handshake; dropping it makes room.
pub(crate) struct Pass {
    gate: Arc<Gate>,
    from: IpAddr,
}

impl Gate {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one more; `None` if there is none, or `from` has had its share. One address never
    /// has all of it, so that one that goes silent locks nobody else out.
    pub(crate) fn pass(self: &Arc<Self>, from: IpAddr) -> Option<Pass> {
        let mut state = self.state();
        let had = state.by_address.get(&from).copied().unwrap_or(0);
        if state.total >= self.most || had >= self.most.div_ceil(4) {
            return None;
        }
        state.total += 1;
        state.by_address.insert(from, had + 1);
        Some(Pass { gate: Arc::clone(self), from })
    }

    /// Whether more than half of the room is taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.state().total > self.most / 2
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.total = state.total.saturating_sub(1);
        if let Some(had) = state.by_address.get_mut(&self.from) {
            *had -= 1;
            if *had == 0 {
                state.by_address.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_no_more() {
        let gate = Gate::new(8);
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut silent: Vec<_> = (0..8).filter_map(|_| gate.pass(address(1))).collect();
        assert_eq!(silent.len(), 2);
        assert!(!gate.is_crowded());
        let others: Vec<_> = (2..10).filter_map(|last| gate.pass(address(last))).collect();
        assert_eq!(others.len(), 6);
        assert!(gate.is_crowded());
        assert!(gate.pass(address(20)).is_none(), "full");
        silent.pop();
        assert!(gate.pass(address(20)).is_some(), "room again");
        drop((silent, others));
        assert!(gate.state().by_address.is_empty());
    }
}
