//! Who fetches a chunk: one for all who want it.

use std::sync::Arc;
use std::time::Duration;

use rafs::{ChunkInfo, Digester, VerifiedChunk};

use super::{CachedBlob, Fetched};
use crate::error::FetchError;
use crate::flight::{Pilot, Whose};
use crate::ledger::Print;
use crate::lock::lock;
use crate::source::Urgency;

/// What a chunk is known by while it is on its way.
pub(super) type Key = (u64, Print);

/// So long a reader waits for a chunk that is being prefetched. Then it asks itself: what it asks
/// for overtakes what is prefetched.
const PATIENCE: Duration = Duration::from_millis(100);

impl CachedBlob {
    /// A chunk: from an earlier run if it is recorded and right, else what `fetch` gives. Callers
    /// that want one chunk at one time get it from one fetch. Says too whether this call fetched it.
    pub fn chunk(
        &self,
        chunk: &ChunkInfo,
        digester: Digester,
        fetch: impl FnOnce() -> Result<VerifiedChunk, FetchError>,
    ) -> (Whose, Fetched) {
        let key = self.key_of(chunk);
        if let Some(Ok(there)) = self.ahead.wait_for(&key, PATIENCE) {
            return (Whose::Others, Ok(there));
        }
        let mut here = false;
        let (whose, fetched) = self.flights.join(&key, lost(chunk), || {
            if let Some(there) = self.known_or_recorded(chunk, digester) {
                here = true;
                return Ok(there);
            }
            let fetched = fetch().map_err(Arc::new)?;
            self.take(&fetched);
            Ok(fetched)
        });
        (if here { Whose::Others } else { whose }, fetched)
    }

    /// The right to fetch a chunk for all who want it; `None` if it is here, or somebody else
    /// fetches it. Who only prefetches leaves alone what an earlier run has recorded.
    #[must_use]
    pub fn claim(
        &self,
        chunk: &ChunkInfo,
        digester: Digester,
        urgency: Urgency,
    ) -> Option<Claim<'_>> {
        let key = self.key_of(chunk);
        let (mine, other) = match urgency {
            Urgency::Blocked => (&self.flights, &self.ahead),
            Urgency::Prefetch => (&self.ahead, &self.flights),
        };
        if other.is_open(&key) || (urgency == Urgency::Prefetch && self.has(chunk)) {
            return None;
        }
        let pilot = mine.claim(&key, lost(chunk))?;
        if urgency == Urgency::Blocked
            && let Some(there) = self.known_or_recorded(chunk, digester)
        {
            pilot.land(Ok(there));
            return None;
        }
        Some(Claim { blob: self, chunk: *chunk, pilot })
    }

    /// A chunk that an earlier run has recorded, if it is right. Waits for nobody but who checks it
    /// already.
    pub fn recover(&self, chunk: &ChunkInfo, digester: Digester) -> Option<VerifiedChunk> {
        let key = self.key_of(chunk);
        let Some(pilot) = self.flights.claim(&key, lost(chunk)) else {
            return self.flights.wait_for(&key, PATIENCE)?.ok();
        };
        let there = self.known_or_recorded(chunk, digester)?;
        pilot.land(Ok(there.clone()));
        Some(there)
    }

    /// Checks a chunk that an earlier run has recorded, for whoever may read it later: a reader who
    /// wants it meanwhile does not wait for that. Says whether it is right, or somebody else sees to it.
    pub fn check(&self, chunk: &ChunkInfo, digester: Digester) -> bool {
        let key = self.key_of(chunk);
        if self.flights.is_open(&key) {
            return true;
        }
        let Some(pilot) = self.ahead.claim(&key, lost(chunk)) else { return true };
        let there = self.known_or_recorded(chunk, digester);
        let right = there.is_some();
        if let Some(there) = there {
            pilot.land(Ok(there));
        }
        right
    }

    /// Counts and keeps what was fetched.
    fn take(&self, fetched: &VerifiedChunk) {
        let bytes = u64::from(fetched.info().uncompressed_size);
        self.counts.fetched(bytes);
        self.keep(fetched);
    }

    fn key_of(&self, chunk: &ChunkInfo) -> Key {
        (chunk.uncompressed_offset, lock(&self.ledger).print(chunk))
    }
}

/// What those are told who wait for a chunk when whoever fetched it has gone.
fn lost(chunk: &ChunkInfo) -> Fetched {
    Err(Arc::new(FetchError::Abandoned(chunk.digest)))
}

/// The right to fetch a chunk. Who drops it has others who waited fetch it themselves.
#[derive(Debug)]
pub struct Claim<'a> {
    blob: &'a CachedBlob,
    chunk: ChunkInfo,
    pilot: Pilot<'a, Key, Fetched>,
}

impl Claim<'_> {
    /// Which chunk.
    #[must_use]
    pub const fn chunk(&self) -> &ChunkInfo {
        &self.chunk
    }

    /// Keeps it, and hands it to all who wait.
    pub fn land(self, fetched: VerifiedChunk) {
        self.blob.take(&fetched);
        self.pilot.land(Ok(fetched));
    }
}
