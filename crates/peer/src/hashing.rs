//! The one SHA-256 pass over a task's bytes on this node.
//!
//! Pieces come in any order; the pass follows the part that is here without a gap, from the first
//! byte on. When it reaches the end, the task is whole or it is a failure, and readers that were
//! held back before the last piece learn which.

use std::sync::Arc;

use content::{BlobHasher, PieceIndex, Whole};
use wire::request::Kind;

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::live::{End, LiveTask};

/// Pieces hashed in one go, so that a long backlog does not hold a blocking thread for ever.
const BATCH: u32 = 16;

/// Follows the task to its end, or until it is stopped.
pub(crate) async fn follow(engine: Engine, live: Arc<LiveTask>) {
    if !matches!(*live.end().borrow(), End::Open) {
        return;
    }
    let stop = live.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        outcome = pass(&live) => match outcome {
            Ok(whole) => {
                let live = Arc::clone(&live);
                blocking(move || live.complete(&whole)).await;
            }
            // What does not match is worth nothing, whoever sent it.
            Err(failure) if failure.kind == Kind::Mismatch => {
                engine.fail_attempt(&live, failure, true);
            }
            Err(failure) => live.fail(failure),
        }
    }
}

async fn pass(live: &Arc<LiveTask>) -> Result<Whole, Failure> {
    let layout = live.layout();
    let mut state = (BlobHasher::new(), 0);
    while state.1 < layout.pieces() {
        live.until_local(state.1).await?;
        let work = Arc::clone(live);
        state = blocking(move || batch(&work, state))
            .await
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        live.hashed_up_to(state.1);
    }
    Ok(Whole::prove(live.id(), live.expected(), layout.length(), state.0)?)
}

/// Hashes what is here after `next`, at most a batch.
fn batch(
    live: &LiveTask,
    (mut hasher, mut next): (BlobHasher, PieceIndex),
) -> Result<(BlobHasher, PieceIndex), store::ReadError> {
    let end = (next + BATCH).min(live.layout().pieces());
    while next < end {
        let Some(bytes) = live.read_local_now(next)? else {
            break; // gone again: flipped on disk, or evicted; it will come back
        };
        hasher.update(&bytes);
        next += 1;
    }
    Ok((hasher, next))
}
