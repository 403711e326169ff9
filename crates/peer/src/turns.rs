//! Whose turn it is to send: a node's uplink serves few runs at a time, the more urgent first, then
//! in the order in which they were asked for.
//!
//! Runs that share a link all end late; one after the other, each but the last ends earlier, and its
//! pieces are passed on while the rest still waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use wire::control::Priority;

use crate::lock::lock;

/// The turns of one uplink. Clones share them.
#[derive(Clone, Debug)]
pub struct Turns {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free: usize,
    next: u64,
    waiting: BTreeMap<(Priority, u64), oneshot::Sender<Turn>>,
}

/// Leave to send, until it is dropped.
#[derive(Debug)]
pub struct Turn(Option<Arc<Mutex<State>>>);

impl Turns {
    /// So many at a time.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        let state = State { free: at_once, next: 0, waiting: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for a turn.
    pub async fn wait(&self, priority: Priority) -> Turn {
        let waiting = {
            let mut state = lock(&self.state);
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(Arc::clone(&self.state)));
            }
            let (call, called) = oneshot::channel();
            let number = state.next;
            state.next += 1;
            state.waiting.insert((priority, number), call);
            called
        };
        // The other end lives as long as `self`, and is never dropped without a call.
        waiting.await.unwrap_or(Turn(None))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else {
            return;
        };
        loop {
            let mut state = lock(&turns);
            let Some((_, call)) = state.waiting.pop_first() else {
                state.free += 1;
                return;
            };
            drop(state);
            match call.send(Self(Some(Arc::clone(&turns)))) {
                Ok(()) => return,
                // Whoever waited has gone: the next one.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_more_urgent_come_first_and_then_those_who_came_first() {
        let turns = Turns::new(1);
        let first = turns.wait(Priority::Preheat).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let asks = [
            ("preheat", Priority::Preheat),
            ("pull", Priority::Pull),
            ("second pull", Priority::Pull),
            ("read", Priority::Blocked),
        ];
        let mut running = Vec::new();
        for (name, priority) in asks {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            running.push(tokio::spawn(async move {
                let _turn = turns.wait(priority).await;
                lock(&order).push(name);
            }));
            tokio::task::yield_now().await;
        }
        assert!(lock(&order).is_empty());
        drop(first);
        for run in running {
            run.await.expect("done");
        }
        assert_eq!(*lock(&order), ["read", "pull", "second pull", "preheat"]);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_turn() {
        let turns = Turns::new(1);
        let first = turns.wait(Priority::Pull).await;
        let gone = turns.clone();
        let waiting = tokio::spawn(async move { gone.wait(Priority::Pull).await });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(first);
        let _again = turns.wait(Priority::Preheat).await;
    }
}
