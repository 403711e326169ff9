//! The slow walk over all that is stored: what the disk lost is found before anybody asks for it.
//!
//! A damaged piece is dropped by the store, which tells whoever was told of it; it is fetched again
//! when it is next wanted.

use std::time::Duration;

use content::{PieceBook, PieceIndex, TaskId};
use store::Scrubbed;
use telemetry::units::Rate;

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::limits::Limiter;

/// The first walk begins so long after the start at the latest, so that a process that never lives
/// for a whole period looks at its disk too.
const FIRST_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Walks over a store.
#[derive(Debug)]
pub struct Scrub {
    engine: Engine,
    every: Duration,
    limiter: Limiter,
}

/// What a walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces that are what they should be.
    pub fine: u64,
    /// Pieces that were not, and were dropped.
    pub damaged: u64,
    /// Pieces that nobody can say anything of, for want of a digest.
    pub unknown: u64,
}

impl Found {
    /// Counts a piece.
    pub fn count(&mut self, scrubbed: Scrubbed) {
        match scrubbed {
            Scrubbed::Fine => self.fine += 1,
            Scrubbed::Dropped => self.damaged += 1,
            Scrubbed::Unknown => self.unknown += 1,
            Scrubbed::Absent => {}
        }
    }
}

impl Scrub {
    /// Walks over `engine`'s store once in `every` (0: never), reading `rate` at most.
    #[must_use]
    pub fn new(engine: Engine, every: Duration, rate: Rate) -> Self {
        let bytes_per_second = rate.limit().map_or(0, std::num::NonZeroU64::get);
        Self { engine, every, limiter: Limiter::new(bytes_per_second) }
    }

    /// Walks again and again; ends only where it is never to begin.
    pub async fn run(self) {
        if self.every.is_zero() {
            return;
        }
        tokio::time::sleep(self.every.min(FIRST_WITHIN)).await;
        loop {
            let next = tokio::time::Instant::now() + self.every;
            let found = self.walk().await;
            tracing::info!(
                fine = found.fine,
                damaged = found.damaged,
                unknown = found.unknown,
                "all that is stored was read again"
            );
            tokio::time::sleep_until(next).await;
        }
    }

    /// One walk over all tasks.
    pub async fn walk(&self) -> Found {
        let mut found = Found::default();
        for info in self.engine.store().list() {
            let mut book = None;
            for index in info.present.iter() {
                let length =
                    info.layout.extent(index).map_or(0, |extent| extent.end - extent.start);
                self.limiter.take(usize::try_from(length).unwrap_or(usize::MAX)).await;
                match self.piece(info.id, index, &mut book).await {
                    Some(scrubbed) => found.count(scrubbed),
                    None => break, // the task is gone
                }
            }
        }
        found
    }

    /// One piece. The handle to its task is held no longer than that: it keeps the task from being
    /// evicted.
    async fn piece(
        &self,
        id: TaskId,
        index: PieceIndex,
        book: &mut Option<PieceBook>,
    ) -> Option<Scrubbed> {
        let task = self.engine.store().task(&id)?;
        let known = book.get_or_insert_with(|| self.engine.book(&task)).clone();
        let scrubbed = blocking(move || task.scrub(index, &known)).await;
        scrubbed.inspect_err(|error| tracing::warn!(task = %id, %error, "it cannot be read")).ok()
    }
}
