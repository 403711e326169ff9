//! How many bytes of chunks may wait between threads, over all layers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may be taken, and come back when they are done with.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    taken: Mutex<usize>,
    freed: Condvar,
}

/// Bytes that were taken; dropped, they come back.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) const fn new(total: usize) -> Self {
        Self { total, taken: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until there are so many. More than all there are is given when none are taken, so
    /// that nobody waits for ever.
    pub(crate) fn take(&self, bytes: usize) -> Taken<'_> {
        let full = |taken: &mut usize| *taken > 0 && taken.saturating_add(bytes) > self.total;
        let waited = self.freed.wait_while(self.lock(), full);
        let mut taken = waited.unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(bytes);
        Taken { budget: self, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // A number has no state in between that a panic could leave.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut taken = self.budget.lock();
        *taken = taken.saturating_sub(self.bytes);
        drop(taken);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_asks_for_too_much_waits_until_it_comes_back() {
        let budget = Budget::new(10);
        let first = budget.take(8);
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel();
            let budget = &budget;
            scope.spawn(move || {
                let _second = budget.take(3);
                send.send(())
            });
            assert!(receive.recv_timeout(Duration::from_millis(50)).is_err(), "too much");
            drop(first);
            assert!(receive.recv_timeout(Duration::from_secs(10)).is_ok());
        });
        let _all = budget.take(100);
    }
}
