//! A node's uplink as the leases on it show it: how fast it sends, and how much may be under way so
//! that it never runs dry.
//!
//! Leases on one uplink share it, so more of them than it needs only make each later. What it needs
//! is what it sends in the time that a lease takes to be asked for and reported: its rate times its
//! horizon. The rate is counted over windows in which it was busy. As long as it had no more to
//! do than it could, that is a lower bound; the horizon is twice the loop, so that a rate which was
//! thought too low doubles with every loop.

use crate::event::Millis;
use crate::rate::{as_f64, to_u64};

/// The rate is counted over so long at least: the clock is coarse.
const WINDOW: Millis = 8;
/// A shorter time without a lease is none: it was waiting for the next one.
const PAUSE: Millis = 100;
/// How much a lower rate weighs against what was believed.
const WEIGHT: f64 = 0.25;
/// How much of what was allowed beyond the need stays after a window.
const KEPT: f64 = 0.95;
/// What no link does is not believed.
const BELIEVED: std::ops::RangeInclusive<f64> = 0.1..=1e8;

/// An uplink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipe {
    /// Bytes per millisecond, as far as known.
    rate: Option<f64>,
    /// Bytes of leases that have not arrived.
    backlog: u64,
    /// Bytes that may be under way.
    limit: u64,
    /// Bytes beyond the need, granted because somebody starved.
    beyond: f64,
    /// When something arrived last.
    heard: Millis,
    /// When counting began, and what arrived since.
    since: Millis,
    arrived: u64,
    /// Whether it was given all that it may have since then.
    was_full: bool,
}

impl Pipe {
    pub(crate) const fn new() -> Self {
        Self {
            rate: None,
            backlog: 0,
            limit: 0,
            beyond: 0.0,
            heard: 0,
            since: 0,
            arrived: 0,
            was_full: false,
        }
    }

    /// It says that it sends so many bytes per millisecond.
    pub(crate) const fn told(&mut self, rate: Option<f64>) {
        self.rate = rate;
    }

    pub(crate) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    pub(crate) const fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Whether more would only wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.backlog >= self.limit
    }

    /// What may be under way: what it sends within `horizon`, at `rate` where its own is unknown.
    pub(crate) fn set_limit(&mut self, rate: f64, horizon: Millis) {
        self.limit = to_u64(self.rate.unwrap_or(rate) * as_f64(horizon) + self.beyond);
    }

    /// Somebody starved and was given so much though it was full: perhaps it can do more.
    pub(crate) fn allow(&mut self, bytes: u64) {
        self.beyond += as_f64(bytes);
        self.limit = self.limit.saturating_add(bytes);
    }

    /// A lease begins.
    pub(crate) fn load(&mut self, bytes: u64, now: Millis) {
        if self.backlog == 0 && now > self.heard.saturating_add(PAUSE) {
            (self.since, self.arrived, self.was_full) = (now, 0, false);
        }
        self.backlog += bytes;
        self.was_full |= self.is_full();
    }

    /// Bytes of a lease have arrived.
    pub(crate) fn arrive(&mut self, bytes: u64, now: Millis) {
        self.backlog = self.backlog.saturating_sub(bytes);
        self.arrived += bytes;
        self.heard = now;
        if now >= self.since.saturating_add(WINDOW) {
            self.count(now);
        }
    }

    /// Bytes of a lease will not come.
    pub(crate) const fn unload(&mut self, bytes: u64) {
        self.backlog = self.backlog.saturating_sub(bytes);
    }

    fn count(&mut self, now: Millis) {
        let seen = as_f64(self.arrived) / as_f64((now - self.since).max(1));
        let seen = seen.clamp(*BELIEVED.start(), *BELIEVED.end());
        self.rate = Some(match self.rate {
            // It had time for more.
            Some(rate) if seen < rate && !self.was_full => rate,
            Some(rate) if seen < rate => rate + WEIGHT * (seen - rate),
            _ => seen,
        });
        self.beyond *= KEPT;
        (self.since, self.arrived, self.was_full) = (now, 0, self.is_full());
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;

    /// An uplink of 100 bytes per millisecond whose leases take a loop of 5 ms beside.
    #[test]
    fn a_rate_that_was_thought_too_low_grows_until_the_link_is_full() {
        let mut pipe = Pipe::new();
        pipe.told(Some(1.0));
        pipe.set_limit(1.0, 10);
        for now in (0..1000).step_by(5) {
            let load = pipe.limit;
            pipe.load(load, now);
            pipe.arrive(load.min(500), now + 5);
            pipe.unload(load.saturating_sub(500));
            pipe.set_limit(1.0, 10);
        }
        assert_eq!(pipe.rate(), Some(100.0));
    }

    #[test]
    fn what_was_little_to_do_says_nothing_of_the_rate() {
        let mut pipe = Pipe::new();
        pipe.told(Some(100.0));
        pipe.set_limit(0.0, 10);
        pipe.load(50, 0);
        pipe.arrive(50, 30);
        assert_eq!(pipe.rate(), Some(100.0));
        pipe.load(5000, 30);
        pipe.arrive(500, 60);
        assert!(pipe.rate().unwrap() < 100.0);
    }

    #[test]
    fn what_was_allowed_beyond_the_need_is_taken_back_slowly() {
        let mut pipe = Pipe::new();
        pipe.told(Some(100.0));
        pipe.set_limit(0.0, 10);
        pipe.load(1000, 0);
        assert!(pipe.is_full());
        pipe.allow(500);
        assert!(!pipe.is_full());
        for round in 1..200 {
            pipe.arrive(100 * 20, round * 20);
            pipe.load(100 * 20, round * 20);
            pipe.set_limit(0.0, 10);
        }
        assert_eq!((pipe.limit, pipe.rate()), (1000, Some(100.0)));
    }
}
