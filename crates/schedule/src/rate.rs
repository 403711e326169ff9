//! How fast a lease is served, learned from transfers.

use crate::event::Millis;

/// An exponentially weighted mean of bytes per millisecond and lease.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Rate(Option<f64>);

/// How much a new observation weighs.
const WEIGHT: f64 = 0.3;
/// Receivers report; what no link does is not believed.
const BELIEVED: std::ops::RangeInclusive<f64> = 0.1..=1e8;

impl Rate {
    pub(crate) fn learn(&mut self, bytes: u64, millis: Millis) {
        let seen = as_f64(bytes) / as_f64(millis.max(1));
        let seen = seen.clamp(*BELIEVED.start(), *BELIEVED.end());
        self.see(seen);
    }

    /// One observation, in bytes per millisecond.
    pub(crate) fn see(&mut self, seen: f64) {
        self.0 = Some(self.0.map_or(seen, |mean| mean + WEIGHT * (seen - mean)));
    }

    /// A lease is late: the rate is no higher than this.
    pub(crate) fn at_most(&mut self, bytes: u64, millis: Millis) {
        let most = (as_f64(bytes) / as_f64(millis.max(1))).max(*BELIEVED.start());
        if self.0.is_none_or(|mean| mean > most) {
            self.0 = Some(most);
        }
    }

    pub(crate) const fn get(self) -> Option<f64> {
        self.0
    }
}

/// How many milliseconds a lease takes where it need not wait for others, from its decision until
/// its end is known: it follows a shorter time at once and a longer one slowly.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Pace(Option<f64>);

/// How much a shorter time weighs.
const SHORTER: f64 = 0.25;
/// How much a longer one weighs: on a full link all of them wait for each other, and what is given
/// in advance must not grow because of what was given in advance.
const LONGER: f64 = 0.002;

impl Pace {
    pub(crate) fn learn(&mut self, millis: Millis) {
        let seen = as_f64(millis);
        self.0 = Some(self.0.map_or(seen, |pace| {
            let weight = if seen < pace { SHORTER } else { LONGER };
            pace + weight * (seen - pace)
        }));
    }

    pub(crate) const fn get(self) -> Option<f64> {
        self.0
    }
}

/// The milliseconds that `bytes` take.
pub(crate) fn millis_of(bytes: u64, bytes_per_ms: f64) -> Millis {
    to_u64(as_f64(bytes) / bytes_per_ms)
}

/// A count as a factor. Exact up to 2^53, and these are estimates.
#[expect(clippy::cast_precision_loss, reason = "estimates")]
pub(crate) const fn as_f64(count: u64) -> f64 {
    count as f64
}

/// An estimate as a count; saturates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, and estimates are not negative"
)]
pub(crate) const fn to_u64(estimate: f64) -> u64 {
    estimate as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_is_seen() {
        let mut rate = Rate::default();
        rate.learn(1000, 10);
        assert_eq!(rate.get(), Some(100.0));
        for _ in 0..50 {
            rate.learn(5000, 10);
        }
        assert!(rate.get().unwrap() > 499.0);
        rate.at_most(10, 10);
        assert_eq!(rate.get(), Some(1.0));
        rate.at_most(1000, 1);
        assert_eq!(rate.get(), Some(1.0));
        rate.learn(u64::MAX, 0);
        assert!(rate.get().unwrap() <= 1e8);
    }
}
