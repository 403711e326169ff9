//! A read that wants several chunks which lie behind one another asks for them together.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rafs::{ChunkInfo, VerifiedChunk};

use crate::blob::{CachedBlob, Claim};
use crate::error::ReadError;
use crate::fetch;
use crate::image::{LazyImage, Of};
use crate::parts::Piece;
use crate::run::{Run, runs};
use crate::source::Want;

/// So many stored bytes a reader asks for at once. A read of the kernel's is at most 1 MiB.
const MOST: u64 = 4 << 20;

/// Chunks that came together, for the reader who asked for them.
#[derive(Debug, Default)]
pub(crate) struct Together {
    /// By their place: blob and offset.
    chunks: HashMap<(u8, u64), VerifiedChunk>,
}

impl Together {
    /// This very chunk, if it is among them.
    pub(crate) fn get(&self, chunk: &ChunkInfo) -> Option<&VerifiedChunk> {
        let there = self.chunks.get(&(chunk.blob, chunk.uncompressed_offset));
        there.filter(|there| there.info() == chunk)
    }

    fn add(&mut self, chunk: VerifiedChunk) {
        let info = chunk.info();
        self.chunks.insert((info.blob, info.uncompressed_offset), chunk);
    }
}

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// The chunks of a range that were not verified since the start, or may not be ours.
    pub(crate) fn missing(
        &self,
        of: &Of,
        offset: u64,
        length: usize,
    ) -> Result<Vec<ChunkInfo>, ReadError> {
        let mut missing = Vec::new();
        self.each(of, offset, length, |piece| {
            if let Piece::Part(part) = piece {
                let (slot, _) = self.slot(part.chunk.blob)?;
                let knows = |cache: Arc<CachedBlob>| cache.knows(&part.chunk);
                if !slot.right.is_proved() || !self.kept_of(slot).is_some_and(knows) {
                    missing.push(part.chunk);
                }
            }
            Ok(true)
        })?;
        Ok(missing)
    }

    /// What of these chunks is not here and lies behind one another, fetched together. What is not
    /// among it is still to be fetched: it lies alone, is on its way, or did not come.
    pub(crate) fn neighbours(
        &self,
        mut missing: Vec<ChunkInfo>,
        want: &Want,
    ) -> Result<Together, ReadError> {
        missing.sort_by_key(|chunk| (chunk.blob, chunk.uncompressed_offset));
        let mut together = Together::default();
        for run in runs(missing, MOST).filter(|run| run.chunks.len() > 1) {
            // Whoever wants the first of them next waits for it, or is told what is wrong.
            if let Err(error) = self.fetch_run(&run, want, |chunk| together.add(chunk))? {
                tracing::debug!(%error, "chunks did not come together");
                break;
            }
        }
        Ok(together)
    }

    /// Fetches what of a run is not here and on nobody's way, each stretch by one request; `take`
    /// gets the chunks that are right. Says how many did not come right: those are for their readers.
    pub(crate) fn fetch_run(
        &self,
        run: &Run,
        want: &Want,
        mut take: impl FnMut(VerifiedChunk),
    ) -> Result<io::Result<usize>, ReadError> {
        let Some(number) = run.blob() else { return Ok(Ok(0)) };
        let (slot, blob) = self.slot(number)?;
        let (cache, from) = (self.cache_of(slot), self.source_of(slot, blob, want));
        let claim = |chunk| cache.claim(chunk, from.digester, want.urgency);
        let mut claims: Vec<Claim<'_>> = run.chunks.iter().filter_map(claim).collect();
        let wanted: Vec<_> = claims.iter().map(|claim| *claim.chunk()).collect();
        claims.reverse();
        let mut given_up = 0;
        for run in runs(wanted, run.length) {
            let fetched = fetch::together(&run, &from, |chunk, opened| {
                let claim = claims.pop();
                let opened = opened.or_else(|error| {
                    tracing::warn!(chunk = %chunk.digest, %error, "a chunk came wrong: asking once more");
                    fetch::again(chunk, &from)
                });
                match opened {
                    Ok(opened) => {
                        Self::has_fetched(slot);
                        claim.into_iter().for_each(|claim| claim.land(opened.clone()));
                        take(opened);
                    }
                    // It is given up: whoever reads it asks again, and is told.
                    Err(error) => {
                        given_up += 1;
                        tracing::debug!(%error, "a chunk did not come");
                    }
                }
            });
            if let Err(error) = fetched {
                return Ok(Err(error));
            }
        }
        self.make_room();
        Ok(Ok(given_up))
    }
}
