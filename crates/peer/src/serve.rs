//! Pieces for others: whoever shows a ticket gets what is here and verified.
//!
//! Step 7 of the walk, seen from the parent. The same code serves from a node and from the
//! supernode's cache.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use content::{PieceProof, Verifier};
use transport::{Connection, PeerIdentity, Stream, TransportError};
use wire::data::{Describe, Description, Fetch, KnownPeer, PieceHeader, Verdict};

use crate::engine::Engine;
use crate::limits::Limiter;
use crate::live::{End, LiveTask};
use crate::peers::reachable;
use crate::slots::Slots;
use crate::turns::{Turn, Turns};

/// The most pieces that one request may ask for: a run is bounded, so that nobody holds a slot for
/// long.
const MAX_RUN: u32 = 256;

/// A receiver that has not taken a piece after so long keeps a slot from others, and is given up.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// So many runs at a time share the uplink; the others wait their turn. One waits for its receiver
/// now and then, so it takes a few to fill a link.
const AT_ONCE: usize = 4;

/// A receiver that takes a piece for so long does not hold up others.
const STUCK: Duration = Duration::from_millis(250);

/// Serves pieces within limits.
#[derive(Debug)]
pub struct Uploader {
    engine: Engine,
    verifier: Verifier,
    slots: Slots,
    turns: Turns,
    limiter: Limiter,
}

impl Uploader {
    /// Serves what `engine` holds: as many runs at once as there are `slots`, at most
    /// `bytes_per_second` (0: no limit).
    #[must_use]
    pub fn new(engine: Engine, verifier: Verifier, slots: Slots, bytes_per_second: u64) -> Self {
        let (turns, limiter) = (Turns::new(AT_ONCE), Limiter::new(bytes_per_second));
        Self { engine, verifier, slots, turns, limiter }
    }

    /// Answers a request for a run of pieces.
    ///
    /// # Errors
    /// If the asker goes away.
    pub async fn fetch(
        &self,
        peer: &PeerIdentity,
        ask: Fetch,
        stream: &mut Stream,
    ) -> Result<(), TransportError> {
        let live = match self.admitted(peer, &ask.task, ask.ticket.as_ref()) {
            Ok(live) => live,
            Err(verdict) => return stream.send(&refusal(verdict, ask.first)).await,
        };
        if ask.end < ask.first || ask.end - ask.first > MAX_RUN {
            return stream.send(&refusal(Verdict::Missing, ask.first)).await;
        }
        let Some(_slot) = self.slots.take(&peer.name) else {
            return stream.send(&refusal(Verdict::Busy, ask.first)).await;
        };
        let mut turn = Some(self.turns.wait(ask.priority()).await);
        let _lease = live.stored().lease();
        for index in ask.first..ask.end {
            // A disk that cannot be read has nothing to give; readiness tells of it elsewhere.
            let piece = live.read_present(index).await.ok().flatten();
            let Some(piece) = piece else {
                return stream.send(&refusal(Verdict::Missing, index)).await;
            };
            let header = PieceHeader {
                verdict: Verdict::Follows.into(),
                index,
                length: piece.len() as u64,
                proof: PieceProof::of(&piece).to_bytes(),
            };
            self.limiter.take(piece.len()).await;
            let length = piece.len() as u64;
            let sending = async {
                stream.send(&header).await?;
                stream.send_bytes(piece).await
            };
            let sending = beside_others(sending, &mut turn);
            let sent = tokio::time::timeout(TAKEN_WITHIN, sending).await;
            sent.map_err(|_| TransportError::Timeout)??;
            self.engine.metrics().sent(length);
            live.was_sent(index);
        }
        Ok(())
    }

    /// Answers a request for what is known of a task.
    ///
    /// # Errors
    /// If the asker goes away.
    pub async fn describe(
        &self,
        connection: &Connection,
        ask: Describe,
        stream: &mut Stream,
    ) -> Result<(), TransportError> {
        let peer = connection.peer();
        let description = match self.admitted(peer, &ask.task, ask.ticket.as_ref()) {
            Ok(live) => {
                if !ask.address.is_empty() {
                    let address = reachable(&ask.address, connection.remote());
                    self.engine.met(KnownPeer { name: peer.name.clone(), address });
                }
                self.description(&live)
            }
            Err(verdict) => Description { verdict: verdict.into(), ..Description::default() },
        };
        stream.send(&description).await
    }

    fn description(&self, live: &LiveTask) -> Description {
        let present = live.present();
        let provisional = live.local().len().saturating_sub(present.len());
        Description {
            verdict: Verdict::Follows.into(),
            statements: live.stored().statements().into_iter().map(Into::into).collect(),
            pieces: present.to_bytes(),
            peers: self.engine.known_peers(&live.id()),
            whole: matches!(*live.end().borrow(), End::Whole),
            wanted: live.want().is_some(),
            provisional,
        }
    }

    /// The task, if the asker's ticket gives it to the asker. Without a ticket nobody learns even
    /// whether the task is here.
    fn admitted(
        &self,
        peer: &PeerIdentity,
        task: &str,
        ticket: Option<&wire::SignedTicket>,
    ) -> Result<Arc<LiveTask>, Verdict> {
        let refused = |why: &dyn std::fmt::Display| {
            self.engine.metrics().refused();
            tracing::warn!(peer = %peer.name, %why, "a request for pieces was refused");
            Verdict::Refused
        };
        let id = wire::task(task).map_err(|error| refused(&error))?;
        let ticket = ticket.ok_or_else(|| refused(&"it came without a ticket"))?;
        ticket
            .admit(&self.verifier, id, &peer.name, unix_now())
            .map_err(|error| refused(&error))?;
        self.engine.live(&id).ok_or(Verdict::Missing)
    }
}

/// Whoever takes a piece too slowly to fill the link lets others have a turn beside it.
async fn beside_others<T>(sending: impl Future<Output = T>, turn: &mut Option<Turn>) -> T {
    let mut sending = pin!(sending);
    if turn.is_some() {
        match tokio::time::timeout(STUCK, &mut sending).await {
            Ok(sent) => return sent,
            Err(_) => *turn = None,
        }
    }
    sending.await
}

fn refusal(verdict: Verdict, index: u32) -> PieceHeader {
    PieceHeader { verdict: verdict.into(), index, ..PieceHeader::default() }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
