//! Asking again while who has a chunk is away: until it is back, or the reader's time is over.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rafs::ChunkInfo;

use crate::error::FetchError;
use crate::lock::lock;
use crate::source::{Want, may_pass};

/// The first pause between two tries.
const FIRST: Duration = Duration::from_millis(100);

/// Pauses double up to this one.
const LONGEST: Duration = Duration::from_secs(2);

/// The pauses between tries.
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
}

impl Pauses {
    /// From the shortest on.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next pause, if a try after it can still succeed with so much time left.
    pub fn next(&mut self, left: Duration) -> Option<Duration> {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST);
        (pause < left).then_some(pause)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}

/// Tries until it succeeds, is answered, or the time of `want` is over.
///
/// # Errors
/// The last one.
pub fn patiently<T>(
    want: &Want,
    mut once: impl FnMut() -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let mut pauses = Pauses::new();
    loop {
        let error = match once() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let pause = if is_outage(&error) { pauses.next(want.left()) } else { None };
        let Some(pause) = pause else { return Err(error) };
        tracing::debug!(%error, ?pause, "a chunk is asked for again");
        std::thread::sleep(pause);
    }
}

/// So long it is remembered that a chunk was waited for in vain.
const MEMORY: Duration = Duration::from_millis(500);

/// So long such a chunk is waited for.
const ONE_TRY: Duration = Duration::from_secs(1);

/// The chunks that were waited for in vain a moment ago.
///
/// A read that failed is no news to the kernel: it asks for the same again, in other sizes, up to
/// four times. Its reader has waited once; those get one short try.
#[derive(Debug, Default)]
pub struct InVain {
    /// When, by blob and offset.
    at: Mutex<HashMap<(u8, u64), Instant>>,
}

impl InVain {
    /// Notes that a chunk was waited for in vain.
    pub fn note(&self, chunk: &ChunkInfo) {
        let now = Instant::now();
        let mut at = lock(&self.at);
        at.retain(|_, at| now.duration_since(*at) < MEMORY);
        at.insert((chunk.blob, chunk.uncompressed_offset), now);
    }

    /// What is left of `want` for who wants all of `chunks`.
    #[must_use]
    pub fn shorten(&self, want: &Want, chunks: &[ChunkInfo]) -> Want {
        let at = lock(&self.at);
        let lately = |chunk: &ChunkInfo| {
            let at = at.get(&(chunk.blob, chunk.uncompressed_offset));
            at.is_some_and(|at| at.elapsed() < MEMORY)
        };
        if at.is_empty() || !chunks.iter().any(lately) {
            return *want;
        }
        let short = Want::within(ONE_TRY, want.urgency);
        Want { until: want.until.min(short.until), ..*want }
    }
}

/// Whether the same may succeed a little later.
#[must_use]
pub fn is_outage(error: &FetchError) -> bool {
    match error {
        FetchError::Source { error, .. } | FetchError::Refused { error, .. } => may_pass(error),
        FetchError::Abandoned(_) => true,
        FetchError::Wrong { .. } | FetchError::Place { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Instant;

    use rafs::ChunkDigest;

    use super::*;
    use crate::source::Urgency;

    fn failed(kind: io::ErrorKind) -> FetchError {
        FetchError::Source { chunk: ChunkDigest([0; 32]), error: kind.into() }
    }

    #[test]
    fn pauses_grow_and_none_goes_beyond_the_end() {
        let mut pauses = Pauses::new();
        let all: Vec<_> = (0..7).filter_map(|_| pauses.next(Duration::from_secs(60))).collect();
        assert!(all.is_sorted() && all.first() == Some(&FIRST) && all.last() == Some(&LONGEST));
        assert_eq!(pauses.next(LONGEST), None);
    }

    #[test]
    fn an_outage_is_waited_out_and_an_answer_is_not() {
        let want = Want::within(Duration::from_secs(30), Urgency::Blocked);
        let mut tries = 0;
        let done = patiently(&want, || {
            tries += 1;
            if tries < 3 { Err(failed(io::ErrorKind::ConnectionRefused)) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 3);
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            let mut tries = 0;
            let done: Result<(), _> = patiently(&want, || {
                tries += 1;
                Err(failed(kind))
            });
            assert!(done.is_err() && tries == 1);
        }
    }

    #[test]
    fn the_time_is_over_at_its_end() {
        let limit = Duration::from_millis(450);
        let (want, begun) = (Want::within(limit, Urgency::Blocked), Instant::now());
        let mut tries = 0;
        let done: Result<(), _> = patiently(&want, || {
            tries += 1;
            Err(failed(io::ErrorKind::TimedOut))
        });
        assert!(done.is_err() && (2..=4).contains(&tries), "{tries}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
