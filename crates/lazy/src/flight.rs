//! Many who want one chunk wait for one fetch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// What is on its way, by what it is. `T` is handed to all who wait.
#[derive(Debug)]
pub struct Flights<K, T> {
    open: Mutex<HashMap<K, Arc<Flight<T>>>>,
}

#[derive(Debug)]
struct Flight<T> {
    landed: Mutex<Option<T>>,
    told: Condvar,
}

/// Where a result came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// This call's own fetch.
    Own,
    /// A fetch that somebody else had begun.
    Others,
}

impl<K: Eq + Hash + Clone + Debug, T: Clone + Debug> Flights<K, T> {
    /// Nothing is on its way.
    #[must_use]
    pub fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// What `fetch` gives: from this call, or from another's that was begun before and has not
    /// ended. `lost` is what those who wait are told if whoever fetches panics.
    pub fn join(&self, key: &K, lost: T, fetch: impl FnOnce() -> T) -> (Whose, T) {
        match self.enter(key, lost) {
            Err(other) => (Whose::Others, other.wait()),
            Ok(pilot) => {
                let result = fetch();
                pilot.land(result.clone());
                (Whose::Own, result)
            }
        }
    }

    /// The right to fetch this; `None` while somebody else has it. Who has it should land soon:
    /// others wait. `lost` is what they are told if it is dropped without.
    pub fn claim(&self, key: &K, lost: T) -> Option<Pilot<'_, K, T>> {
        self.enter(key, lost).ok()
    }

    /// Whether this is on its way.
    #[must_use]
    pub fn is_open(&self, key: &K) -> bool {
        lock(&self.open).contains_key(key)
    }

    /// The result of a fetch that is on its way, if there is one and it ends within `patience`.
    #[must_use]
    pub fn wait_for(&self, key: &K, patience: Duration) -> Option<T> {
        let flight = lock(&self.open).get(key).cloned()?;
        flight.wait_until(Instant::now().checked_add(patience)?)
    }

    fn enter(&self, key: &K, lost: T) -> Result<Pilot<'_, K, T>, Arc<Flight<T>>> {
        match lock(&self.open).entry(key.clone()) {
            Entry::Occupied(open) => Err(Arc::clone(open.get())),
            Entry::Vacant(free) => {
                let flight = Arc::new(Flight { landed: Mutex::new(None), told: Condvar::new() });
                let flight = Arc::clone(free.insert(flight));
                Ok(Pilot { flights: self, key: key.clone(), flight, lost: Some(lost) })
            }
        }
    }
}

impl<K: Eq + Hash + Clone + Debug, T: Clone + Debug> Default for Flights<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Flight<T> {
    fn land(&self, result: T) {
        *lock(&self.landed) = Some(result);
        self.told.notify_all();
    }

    fn wait(&self) -> T {
        let mut landed = lock(&self.landed);
        loop {
            if let Some(result) = &*landed {
                return result.clone();
            }
            landed = self.told.wait(landed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_until(&self, until: Instant) -> Option<T> {
        let mut landed = lock(&self.landed);
        loop {
            if let Some(result) = &*landed {
                return Some(result.clone());
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.told.wait_timeout(landed, left);
            landed = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The right to fetch something for all who want it. Ends the flight, whatever becomes of who has
/// it: nobody waits for ever.
#[derive(Debug)]
pub struct Pilot<'a, K: Eq + Hash, T: Clone> {
    flights: &'a Flights<K, T>,
    key: K,
    flight: Arc<Flight<T>>,
    lost: Option<T>,
}

impl<K: Eq + Hash, T: Clone> Pilot<'_, K, T> {
    /// Hands the result to all who wait.
    pub fn land(mut self, result: T) {
        self.lost = Some(result);
    }
}

impl<K: Eq + Hash, T: Clone> Drop for Pilot<'_, K, T> {
    fn drop(&mut self) {
        lock(&self.flights.open).remove(&self.key);
        if let Some(result) = self.lost.take() {
            self.flight.land(result);
        }
    }
}
