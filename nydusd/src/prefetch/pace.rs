//! What a rate allows, of all that share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Bytes that may pass in a second: pure, by somebody else's clock. Time is counted from any beginning.
#[derive(Debug)]
pub struct Pace {
    /// 0 for no limit.
    rate: u64,
    /// When the next may pass.
    next: Duration,
}

impl Pace {
    /// At most `rate` bytes a second; 0 for no limit.
    #[must_use]
    pub const fn new(rate: u64) -> Self {
        Self { rate, next: Duration::ZERO }
    }

    /// How much is asked for at once: at most `most`, and no more than passes in a second.
    #[must_use]
    pub const fn portion(&self, most: u64) -> u64 {
        if self.rate == 0 || most < self.rate { most } else { self.rate }
    }

    /// How long who comes at `now` with so many bytes has to wait. Then they count as passed.
    pub fn wait(&mut self, bytes: u64, now: Duration) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        // Time that went by unused is not saved up.
        let begin = self.next.max(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.next = begin.saturating_add(takes);
        begin.saturating_sub(now)
    }
}

/// One pace for each rate: what is allowed so much is allowed it together.
#[derive(Debug)]
pub struct Paces {
    began: Instant,
    by_rate: Mutex<BTreeMap<u64, Arc<Mutex<Pace>>>>,
}

/// A pace that is kept together with all others of the same rate.
#[derive(Clone, Debug)]
pub struct Together {
    began: Instant,
    pace: Arc<Mutex<Pace>>,
}

impl Default for Paces {
    fn default() -> Self {
        Self { began: Instant::now(), by_rate: Mutex::default() }
    }
}

impl Paces {
    /// The pace of this rate.
    #[must_use]
    pub fn of(&self, rate: u64) -> Together {
        let mut by_rate = lock(&self.by_rate);
        // Those that nobody keeps are of the past.
        by_rate.retain(|_, pace| Arc::strong_count(pace) > 1);
        let pace = by_rate.entry(rate).or_insert_with(|| Arc::new(Mutex::new(Pace::new(rate))));
        Together { began: self.began, pace: Arc::clone(pace) }
    }
}

impl Together {
    /// [`Pace::portion`].
    #[must_use]
    pub fn portion(&self, most: u64) -> u64 {
        lock(&self.pace).portion(most)
    }

    /// [`Pace::wait`], for who comes now.
    #[must_use]
    pub fn wait(&self, bytes: u64) -> Duration {
        lock(&self.pace).wait(bytes, self.began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_pass_at_the_rate_and_no_faster() {
        let mut pace = Pace::new(1000);
        assert_eq!(pace.wait(500, 10 * SECOND), Duration::ZERO);
        assert_eq!(pace.wait(2000, 10 * SECOND), SECOND / 2);
        assert_eq!(pace.wait(1, 10 * SECOND), SECOND * 5 / 2);
        // A pause buys nothing.
        assert_eq!(pace.wait(1000, 60 * SECOND), Duration::ZERO);
        assert_eq!(pace.wait(1000, 60 * SECOND), SECOND);
        assert_eq!((pace.portion(10), pace.portion(5000)), (10, 1000));
    }

    #[test]
    fn one_rate_is_for_all_who_have_it() {
        let paces = Paces::default();
        let (one, two, other) = (paces.of(1000), paces.of(1000), paces.of(2000));
        assert_eq!(one.wait(60_000), Duration::ZERO);
        assert!(two.wait(1) > 50 * SECOND);
        assert_eq!(other.wait(1), Duration::ZERO);
        // Who comes when all have gone begins anew.
        drop((one, two));
        assert_eq!(paces.of(1000).wait(1), Duration::ZERO);
    }

    #[test]
    fn no_limit_is_none_and_none_overflows() {
        let mut pace = Pace::new(0);
        assert_eq!((pace.wait(u64::MAX, SECOND), pace.portion(7)), (Duration::ZERO, 7));
        let mut pace = Pace::new(1);
        for _ in 0..100 {
            pace.wait(u64::MAX, SECOND);
        }
    }
}
