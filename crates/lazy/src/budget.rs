//! Bytes that may be taken, and are given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes. Clones share them.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU64>);

impl Budget {
    /// All of `bytes` are free.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// So many of them, if there are so many.
    #[must_use]
    pub fn take(&self, bytes: u64) -> Option<Taken> {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Taken { of: self.clone(), bytes })
    }
}

/// Bytes that were taken; they are given back when this goes.
#[derive(Debug)]
pub struct Taken {
    of: Budget,
    bytes: u64,
}

impl Taken {
    /// They stay taken.
    pub fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 64 << 20;

    #[test]
    fn room_is_given_back_unless_it_is_kept() {
        let room = Budget::new(MOST);
        assert!(room.take(MOST + 1).is_none());
        let one = room.take(MOST).unwrap();
        assert!(room.take(1).is_none());
        drop(one);
        room.take(MOST - 1).unwrap().keep();
        assert!(room.take(2).is_none() && room.take(1).is_some());
    }
}
