//! A node's uplink, or its downlink, as the leases on it show it: how fast it is, and how much may
//! be under way on it so that it never runs dry.
//!
//! Leases on one link share it, so more of them than it needs only make each later. What it needs
//! is what it carries in the time that it takes to learn of a lease's end and to give the next one:
//! its rate times its horizon. The rate is seen with each lease that is done: what came over the
//! link in the lease's time, of all leases. Where the link had less to do than it could, that is too
//! low; but the horizon is more than twice a lease's time, so that a rate which was thought too low
//! doubles from lease to lease, until leases wait for each other.

use crate::event::Millis;
use crate::rate::{Pace, as_f64, to_u64};

/// How much a higher rate weighs against what was believed.
const UP: f64 = 0.5;
/// How much a lower one weighs.
const DOWN: f64 = 0.25;
/// How much of what was allowed beyond the need stays after a lease.
const KEPT: f64 = 0.9;
/// What no link does is not believed.
const BELIEVED: std::ops::RangeInclusive<f64> = 0.1..=1e8;

/// A link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pipe {
    /// Bytes per millisecond, as far as known.
    rate: Option<f64>,
    /// How long a lease takes that need not wait.
    pace: Pace,
    /// How many leases are under way, and their bytes that have not arrived.
    leases: u32,
    backlog: u64,
    /// Bytes that may be under way.
    limit: u64,
    /// Bytes beyond the need, granted because somebody starved.
    beyond: f64,
    /// All bytes that ever arrived.
    arrived: u64,
    /// When it last had next to nothing to do.
    idle_at: Millis,
}

/// Where a pipe stood when a lease began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    since: Millis,
    arrived: u64,
}

impl Pipe {
    /// Its node says that it carries so many bytes per millisecond.
    pub(crate) const fn told(&mut self, rate: Option<f64>) {
        self.rate = rate;
    }

    pub(crate) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    pub(crate) const fn pace(&self) -> Option<f64> {
        self.pace.get()
    }

    pub(crate) const fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Whether more would only wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.backlog >= self.limit
    }

    /// What may be under way: what it carries within `horizon`, at `rate` where its own is unknown.
    pub(crate) fn set_limit(&mut self, rate: f64, horizon: Millis) {
        self.limit = to_u64(self.rate.unwrap_or(rate) * as_f64(horizon) + self.beyond);
    }

    /// Somebody starved and was given so much though it was full: perhaps it can do more.
    pub(crate) fn allow(&mut self, bytes: u64) {
        self.beyond += as_f64(bytes);
        self.limit = self.limit.saturating_add(bytes);
    }

    /// A lease begins.
    pub(crate) const fn load(&mut self, bytes: u64, now: Millis) -> Mark {
        if self.leases < 2 {
            self.idle_at = now;
        }
        self.leases += 1;
        self.backlog += bytes;
        Mark { since: now, arrived: self.arrived }
    }

    /// Bytes of a lease have arrived.
    pub(crate) const fn arrive(&mut self, bytes: u64) {
        self.backlog = self.backlog.saturating_sub(bytes);
        self.arrived += bytes;
    }

    /// All of a lease has arrived that began at `mark`: the rate is seen.
    pub(crate) fn observe(&mut self, mark: Mark, now: Millis) {
        let took = now.saturating_sub(mark.since).max(1);
        self.pace.learn(took);
        let seen = as_f64(self.arrived - mark.arrived) / as_f64(took);
        let seen = seen.clamp(*BELIEVED.start(), *BELIEVED.end());
        let had_more_to_do = self.leases >= 2 && self.idle_at < mark.since;
        self.rate = Some(match self.rate {
            None => seen,
            Some(rate) if seen >= rate => rate + UP * (seen - rate),
            Some(rate) if had_more_to_do => rate + DOWN * (seen - rate),
            Some(rate) => rate,
        });
        self.beyond *= KEPT;
    }

    /// A lease is over; so many of its bytes will not come.
    pub(crate) const fn unload(&mut self, bytes: u64) {
        self.leases = self.leases.saturating_sub(1);
        self.backlog = self.backlog.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;

    fn pipe(rate: f64) -> Pipe {
        let mut pipe = Pipe::default();
        pipe.told(Some(rate));
        pipe.set_limit(0.0, 10);
        pipe
    }

    /// Each lease takes 5 ms to be asked for and reported; the link carries 100 bytes per ms.
    #[test]
    fn a_rate_that_was_thought_too_low_grows_until_the_link_is_full() {
        let mut pipe = pipe(1.0);
        for round in 0..100 {
            let (load, now) = (pipe.limit.max(2), round * 5);
            let marks = [pipe.load(load / 2, now), pipe.load(load / 2, now)];
            pipe.arrive(load.min(500));
            for mark in marks {
                pipe.observe(mark, now + 5);
                pipe.unload(0);
            }
            pipe.unload(pipe.backlog());
            pipe.set_limit(0.0, 10);
        }
        let rate = pipe.rate().unwrap();
        assert!((90.0..101.0).contains(&rate), "{rate}");
    }

    #[test]
    fn what_was_little_to_do_says_nothing_of_the_rate() {
        let mut pipe = pipe(100.0);
        let alone = pipe.load(50, 0);
        pipe.arrive(50);
        pipe.observe(alone, 30);
        assert_eq!(pipe.rate(), Some(100.0));
        let _ = pipe.load(50, 40);
        let _ = pipe.load(50, 40);
        let among_others = pipe.load(50, 41);
        pipe.arrive(50);
        pipe.observe(among_others, 71);
        assert!(pipe.rate().unwrap() < 100.0);
    }

    #[test]
    fn reports_that_come_all_at_once_do_not_make_a_link_faster() {
        let mut pipe = pipe(100.0);
        let mut marks = std::collections::VecDeque::new();
        for now in 0..4000 {
            marks.push_back(pipe.load(100, now));
            // Each lease takes 100 ms, and every 50 ms the ends of 50 are told.
            if now >= 100 && now % 50 == 0 {
                for _ in 0..50 {
                    pipe.arrive(100);
                    pipe.observe(marks.pop_front().unwrap(), now);
                    pipe.unload(0);
                }
            }
        }
        assert!(pipe.rate().unwrap() < 200.0, "{:?}", pipe.rate());
    }

    #[test]
    fn what_was_allowed_beyond_the_need_is_taken_back() {
        let mut pipe = pipe(100.0);
        let mark = pipe.load(1000, 0);
        assert!(pipe.is_full());
        pipe.allow(500);
        assert!(!pipe.is_full());
        for _ in 0..100 {
            pipe.observe(mark, 1000);
        }
        pipe.set_limit(0.0, 10);
        assert!(pipe.is_full());
    }
}
