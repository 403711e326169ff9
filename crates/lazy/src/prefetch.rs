//! Chunks that nobody waits for yet.

use rafs::{ChunkInfo, Stored};

use crate::error::{FetchError, ReadError};
use crate::image::LazyImage;
use crate::plan::{Left, Plan, Standing, Step};
use crate::source::Want;

/// What became of the chunks of a step; none of it counts what was on its way already.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// How many came, and were right.
    pub fetched: usize,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// How many of them the cache keeps.
    pub kept: usize,
    /// How many did not come right.
    pub given_up: usize,
}

/// What became of a chunk that was to be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// There is no more to do: it is right, or whoever reads it fetches it.
    Done,
    /// It was wrong, and is to be fetched.
    Missing,
    /// Another one is being checked. Ask again.
    Busy,
}

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// What `plan` has next that was not verified, of at most `most` stored bytes where it can be cut so.
    pub fn next_step(&self, plan: &mut Plan, most: u64) -> Option<Step> {
        plan.next(self.bootstrap(), most, |chunk| self.standing(chunk))
    }

    /// How much of `plan` is to come that is not here.
    #[must_use]
    pub fn left(&self, plan: Plan) -> Left {
        plan.left(self.bootstrap(), |chunk| self.has(chunk))
    }

    /// Whether chunks of so many bytes fit into the cache, without anything being lost that was used
    /// within the last hour.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.cache().fits(bytes)
    }

    /// Fetches a step, but for what is on its way already.
    ///
    /// # Errors
    /// If it is not to be had.
    pub fn prefetch(&self, step: &Step, want: &Want) -> Result<Outcome, ReadError> {
        match step {
            Step::Run(run) => {
                let (mut outcome, first) = (Outcome::default(), run.chunks.first());
                let given_up = self.fetch_run(run, want, |chunk| {
                    outcome.fetched += 1;
                    outcome.bytes += u64::from(chunk.info().uncompressed_size);
                    outcome.kept += usize::from(self.has(chunk.info()));
                })?;
                outcome.given_up = given_up.map_err(|error| match first {
                    Some(chunk) => {
                        ReadError::Fetch(FetchError::Source { chunk: chunk.digest, error }.into())
                    }
                    None => crate::image::odd().into(),
                })?;
                Ok(outcome)
            }
            Step::Batched(chunk) => self.prefetch_batch(chunk, want),
            Step::Check(_) => Ok(Outcome::default()),
        }
    }

    /// Checks a chunk that an earlier run has left. Waits for nothing but the disk.
    #[must_use]
    pub fn check(&self, chunk: &ChunkInfo) -> Checked {
        let Some(_checking) = self.cache().checking() else { return Checked::Busy };
        let cache = self.slot(chunk.blob).ok().and_then(|(slot, _)| self.kept_of(slot));
        let right = cache.is_some_and(|cache| cache.check(chunk, self.bootstrap().digester()));
        // What is there and not right is another image's.
        if right || self.has(chunk) { Checked::Done } else { Checked::Missing }
    }

    fn prefetch_batch(&self, chunk: &ChunkInfo, want: &Want) -> Result<Outcome, ReadError> {
        debug_assert_eq!(chunk.stored, Stored::Batched);
        let (slot, blob) = self.slot(chunk.blob)?;
        let (cache, from) = (self.cache_of(slot), self.source_of(slot, blob, want));
        let Some(claim) = cache.claim(chunk, from.digester, want.urgency) else {
            return Ok(Outcome::default());
        };
        let fetched = self.batched(slot, blob, &cache, chunk, &from);
        claim.land(fetched.map_err(|error| ReadError::Fetch(error.into()))?);
        Self::has_fetched(slot);
        self.make_room();
        let (kept, bytes) = (usize::from(self.has(chunk)), u64::from(chunk.uncompressed_size));
        Ok(Outcome { fetched: 1, bytes, kept, given_up: 0 })
    }

    fn standing(&self, chunk: &ChunkInfo) -> Standing {
        let cache = self.slot(chunk.blob).ok().and_then(|(slot, _)| self.kept_of(slot));
        cache.map_or(Standing::Missing, |cache| cache.standing(chunk))
    }

    fn has(&self, chunk: &ChunkInfo) -> bool {
        self.standing(chunk) != Standing::Missing
    }
}
