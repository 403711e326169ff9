//! Many who want one chunk wait for one fetch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

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

impl<K: Eq + Hash + Clone + Debug, T: Clone + Debug> Flights<K, T> {
    /// Nothing is on its way.
    #[must_use]
    pub fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// What `fetch` gives: from this call, or from another's that was begun before and has not
    /// ended. `lost` is what those who wait are told if whoever fetches panics.
    pub fn join(&self, key: &K, lost: impl FnOnce() -> T, fetch: impl FnOnce() -> T) -> T {
        let flight = match lock(&self.open).entry(key.clone()) {
            Entry::Occupied(open) => Err(Arc::clone(open.get())),
            Entry::Vacant(free) => {
                let flight = Arc::new(Flight { landed: Mutex::new(None), told: Condvar::new() });
                Ok(Arc::clone(free.insert(flight)))
            }
        };
        match flight {
            Err(other) => other.wait(),
            Ok(flight) => {
                let mut pilot = Pilot { flights: self, key, flight, lost: Some(lost) };
                let result = fetch();
                pilot.lost = None;
                pilot.flight.land(result.clone());
                result
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
}

/// Ends the flight, whatever becomes of who fetches: nobody waits for ever.
struct Pilot<'a, K: Eq + Hash, T: Clone, L: FnOnce() -> T> {
    flights: &'a Flights<K, T>,
    key: &'a K,
    flight: Arc<Flight<T>>,
    lost: Option<L>,
}

impl<K: Eq + Hash, T: Clone, L: FnOnce() -> T> Drop for Pilot<'_, K, T, L> {
    fn drop(&mut self) {
        lock(&self.flights.open).remove(self.key);
        if let Some(lost) = self.lost.take() {
            self.flight.land(lost());
        }
    }
}
