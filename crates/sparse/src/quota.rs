//! How many bytes many files hold together, and which of them go first when that is too many.
//!
//! Pure accounting: no file, no clock. Whoever reads, streams or serves a file holds a [`Pin`] on
//! it; a pinned file is never a victim.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The account of many files, each named by a `K`. Clones share it.
#[derive(Debug)]
pub struct Quota<K: Debug> {
    accounts: Arc<Mutex<Accounts<K>>>,
}

#[derive(Debug)]
struct Accounts<K> {
    high: u64,
    low: u64,
    total: u64,
    files: HashMap<K, Account>,
    /// How many accounts were opened.
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    /// No other account has it, also none of the same name.
    number: u64,
    bytes: u64,
    last_use: u64,
    pins: u32,
}

impl<K: Clone + Eq + Hash + Debug> Quota<K> {
    /// An empty account that calls for victims above `high` bytes and is content at `low`.
    #[must_use]
    pub fn new(high: u64, low: u64) -> Self {
        Self {
            accounts: Arc::new(Mutex::new(Accounts {
                high,
                low: low.min(high),
                total: 0,
                files: HashMap::new(),
                opened: 0,
            })),
        }
    }

    /// Changes the watermarks.
    pub fn set_watermarks(&self, high: u64, low: u64) {
        let mut accounts = self.lock();
        accounts.high = high;
        accounts.low = low.min(high);
    }

    /// Opens the account of a file, last used at `tick`; an open one keeps its pins.
    pub fn add(&self, key: K, bytes: u64, tick: u64) {
        let mut accounts = self.lock();
        accounts.opened += 1;
        let new = Account { number: accounts.opened, bytes: 0, last_use: tick, pins: 0 };
        let account = accounts.files.entry(key).or_insert(new);
        let before = std::mem::replace(&mut account.bytes, bytes);
        accounts.total = accounts.total - before + bytes;
    }

    /// Says how many bytes a file holds now. A file without an account stays without one.
    pub fn set_bytes(&self, key: &K, bytes: u64) {
        let mut accounts = self.lock();
        if let Some(account) = accounts.files.get_mut(key) {
            let before = std::mem::replace(&mut account.bytes, bytes);
            accounts.total = accounts.total - before + bytes;
        }
    }

    /// Says that a file was used at `tick`; an earlier tick than the last changes nothing.
    pub fn touch(&self, key: &K, tick: u64) {
        if let Some(account) = self.lock().files.get_mut(key) {
            account.last_use = account.last_use.max(tick);
        }
    }

    /// When a file was last used.
    #[must_use]
    pub fn last_use(&self, key: &K) -> Option<u64> {
        self.lock().files.get(key).map(|account| account.last_use)
    }

    /// Closes the account of a file that is no more.
    pub fn remove(&self, key: &K) {
        let mut accounts = self.lock();
        if let Some(account) = accounts.files.remove(key) {
            accounts.total -= account.bytes;
        }
    }

    /// Keeps a file from being a victim until the pin is dropped; `None` if it has no account.
    #[must_use]
    pub fn pin(&self, key: &K) -> Option<Pin<K>> {
        let mut accounts = self.lock();
        let account = accounts.files.get_mut(key)?;
        account.pins += 1;
        let number = account.number;
        Some(Pin { accounts: Arc::clone(&self.accounts), key: key.clone(), number })
    }

    /// Whether somebody has a pin on the file.
    #[must_use]
    pub fn is_pinned(&self, key: &K) -> bool {
        self.lock().files.get(key).is_some_and(|file| file.pins > 0)
    }

    /// How many bytes all files hold.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// How many bytes pinned files hold.
    #[must_use]
    pub fn pinned(&self) -> u64 {
        let accounts = self.lock();
        let pinned = accounts.files.values().filter(|file| file.pins > 0);
        pinned.map(|file| file.bytes).sum()
    }

    /// The high watermark.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.lock().high
    }

    /// The low watermark.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.lock().low
    }

    /// Whether the files hold more than the high watermark.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let accounts = self.lock();
        accounts.total > accounts.high
    }

    /// Has `evict` take files, oldest use first, to come from above the high watermark to the low one;
    /// none while the high one is kept. What is held is seen anew each time: one file may take others
    /// with it, or stay.
    pub fn make_room(&self, mut evict: impl FnMut(K)) {
        if !self.is_over() {
            return;
        }
        let oldest = self.by_age().into_iter();
        oldest.take_while(|_| self.total() > self.low()).for_each(|(key, _)| evict(key));
    }

    /// Every file without a pin and its bytes, oldest use first.
    #[must_use]
    pub fn by_age(&self) -> Vec<(K, u64)> {
        let accounts = self.lock();
        let free = accounts.files.iter().filter(|(_, file)| file.pins == 0);
        let mut files: Vec<_> = free.map(|(key, file)| (key.clone(), *file)).collect();
        drop(accounts);
        files.sort_by_key(|(_, file)| file.last_use);
        files.into_iter().map(|(key, file)| (key, file.bytes)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Accounts<K>> {
        lock(&self.accounts)
    }
}

impl<K: Debug> Clone for Quota<K> {
    fn clone(&self) -> Self {
        Self { accounts: Arc::clone(&self.accounts) }
    }
}

/// Keeps one file from being evicted for as long as it lives; not another that is called the same
/// later.
#[derive(Debug)]
pub struct Pin<K: Eq + Hash + Debug> {
    accounts: Arc<Mutex<Accounts<K>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash + Debug> Drop for Pin<K> {
    fn drop(&mut self) {
        if let Some(account) = lock(&self.accounts).files.get_mut(&self.key)
            && account.number == self.number
        {
            account.pins = account.pins.saturating_sub(1);
        }
    }
}

/// Locks, whatever happened to another holder: the accounts are valid after every step.
fn lock<K>(accounts: &Mutex<Accounts<K>>) -> MutexGuard<'_, Accounts<K>> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(files: &[(&'static str, u64, u64)]) -> Quota<&'static str> {
        let quota = Quota::new(100, 50);
        for (key, bytes, tick) in files {
            quota.add(*key, *bytes, *tick);
        }
        quota
    }

    /// Those that would be evicted now; they are all there again afterwards.
    fn victims(quota: &Quota<&'static str>) -> Vec<&'static str> {
        let mut gone = Vec::new();
        let held = quota.by_age();
        quota.make_room(|key| {
            quota.set_bytes(&key, 0);
            gone.push(key);
        });
        held.iter().for_each(|(key, bytes)| quota.set_bytes(key, *bytes));
        gone
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        let quota = quota(&[("new", 30, 9), ("old", 30, 1), ("mid", 50, 5)]);
        assert_eq!(quota.total(), 110);
        assert_eq!(victims(&quota), ["old", "mid"]);
        quota.touch(&"old", 10);
        assert_eq!(victims(&quota), ["mid", "new"]);
        quota.touch(&"old", 3);
        assert_eq!(quota.last_use(&"old"), Some(10));
    }

    #[test]
    fn at_the_high_watermark_nothing_goes() {
        assert_eq!(victims(&quota(&[("a", 100, 1)])), [""; 0]);
    }

    #[test]
    fn what_is_pinned_stays_until_the_last_pin_goes() {
        let quota = quota(&[("old", 60, 1), ("new", 60, 2)]);
        let first = quota.pin(&"old");
        let second = quota.pin(&"old");
        assert_eq!((victims(&quota), quota.pinned()), (vec!["new"], 60));
        drop(first);
        assert_eq!(victims(&quota), ["new"]);
        drop(second);
        assert_eq!((victims(&quota), quota.pinned()), (vec!["old", "new"], 0));
    }

    #[test]
    fn a_closed_account_takes_nothing_with_it() {
        let quota = quota(&[("a", 60, 1)]);
        let pin = quota.pin(&"a");
        quota.remove(&"a");
        quota.set_bytes(&"a", 999);
        assert_eq!((quota.total(), quota.by_age()), (0, vec![]));
        quota.add("a", 70, 2);
        let of_the_next = quota.pin(&"a");
        drop(pin);
        assert_eq!((quota.pinned(), quota.by_age()), (70, vec![]));
        drop(of_the_next);
        assert_eq!(quota.by_age(), [("a", 70)]);
    }
}
