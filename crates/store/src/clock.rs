//! The store's only look at a clock: when a task was last used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds that never go back and never stand still, whatever the system's clock does,
/// so that "used later" has one meaning.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// The next tick.
    pub(crate) fn tick(&self) -> u64 {
        let now = unix_millis();
        let next = |last: u64| now.max(last + 1);
        let before =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(before.unwrap_or(0))
    }
}

/// What the system's clock says now.
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ticks_are_the_same() {
        let clock = Clock::default();
        let ticks: Vec<_> = (0..1000).map(|_| clock.tick()).collect();
        assert!(ticks.is_sorted_by(|a, b| a < b));
    }
}
