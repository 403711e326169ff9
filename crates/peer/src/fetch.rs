//! A run of pieces from a peer: another node, or the supernode's cache.
//!
//! Step 8 of the walk. What comes is [`Unverified`] until the piece's believed digest says
//! otherwise, every 64 KiB; where it is written follows from the task's own cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use content::{PieceIndex, PieceProof, PieceSet, Provisional, Run, Unverified, Verified};
use transport::{Connection, Stream, TransportError};
use wire::SignedTicket;
use wire::control::{Outcome, Priority};
use wire::data::{Fetch, PieceHeader, Verdict};
use wire::request::{Asks, Request};

use crate::limits::Limiter;
use crate::live::LiveTask;
use crate::metrics::{Metrics, Source};

/// A parent that sends nothing for so long has stalled. The supernode hedges earlier; this is what
/// frees the node's own resources.
const SILENCE: Duration = Duration::from_secs(10);

/// A piece for which a parent was waited for so long in all has stalled too: one byte a second is as
/// good as none. Our own slowness does not count. It is shorter than the supernode's patience with a
/// lease, so that the receiver speaks before it is taken for dead.
const PIECE_WITHIN: Duration = Duration::from_secs(12);

/// What to ask a parent for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The pieces.
    pub run: Run,
    /// Leave to have them.
    pub ticket: SignedTicket,
    /// How urgent they are.
    pub priority: Priority,
    /// The id under which logs tell of it.
    pub request_id: String,
    /// Whether pieces whose digests nobody signed are taken too, as provisional ones.
    pub unsigned: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The pieces that came, were verified and are stored.
    pub pieces: PieceSet,
    /// How many bytes they have.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether all came, and whose fault it was if not.
    pub outcome: Outcome,
}

/// Takes a run of pieces from the peer behind `connection`.
pub async fn fetch_run(
    live: &Arc<LiveTask>,
    connection: &Connection,
    ask: Ask,
    limiter: &Limiter,
    metrics: &Metrics,
) -> Fetched {
    let started = Instant::now();
    let mut transfer = Transfer {
        live,
        limiter,
        source: match connection.peer().role {
            transport::Role::Supernode => Source::Supernode,
            transport::Role::Node => Source::Peer,
        },
        pieces: PieceSet::none(live.layout().pieces()),
        bytes: 0,
    };
    let outcome = match transfer.run(connection, ask).await {
        Ok(()) => Outcome::Done,
        Err(outcome) => outcome,
    };
    if outcome == Outcome::WrongBytes {
        metrics.rejected();
        tracing::warn!(task = %live.id(), peer = %connection.peer().name, "a peer sent wrong bytes");
    }
    Fetched { pieces: transfer.pieces, bytes: transfer.bytes, took: started.elapsed(), outcome }
}

struct Transfer<'a> {
    live: &'a Arc<LiveTask>,
    limiter: &'a Limiter,
    source: Source,
    pieces: PieceSet,
    bytes: u64,
}

impl Transfer<'_> {
    async fn run(&mut self, connection: &Connection, ask: Ask) -> Result<(), Outcome> {
        let request = Request {
            request_id: ask.request_id,
            asks: Some(Asks::Fetch(Fetch {
                task: self.live.id().to_string(),
                first: ask.run.first,
                end: ask.run.end,
                ticket: Some(ask.ticket),
                priority: ask.priority.into(),
            })),
        };
        let mut stream = within(SILENCE, connection.open_bulk(&request)).await?;
        for index in ask.run.iter() {
            let (length, proof) = self.header(&mut stream, index).await?;
            let signed = self.live.book().digest(index).is_some();
            let kept = if ask.unsigned && !signed {
                let piece = self.unsigned(&mut stream, index, length).await?;
                self.live.put_provisional(piece, self.source).await
            } else {
                let piece = self.piece(&mut stream, index, proof).await?;
                self.live.put(piece, self.source).await
            };
            kept.map_err(|_| Outcome::Receiver)?;
            self.pieces.insert(index);
            self.bytes += length;
        }
        stream.done();
        Ok(())
    }

    /// What comes before piece `index`: its length and its proof.
    async fn header(
        &self,
        stream: &mut Stream,
        index: PieceIndex,
    ) -> Result<(u64, PieceProof), Outcome> {
        let header: PieceHeader =
            within(SILENCE, stream.recv()).await?.ok_or(Outcome::Unreachable)?;
        match header.verdict() {
            Verdict::Follows => {}
            Verdict::Refused => return Err(Outcome::Refused),
            Verdict::Missing => return Err(Outcome::Missing),
            Verdict::Busy => return Err(Outcome::Busy),
        }
        let extent = self.live.layout().extent(index).ok_or(Outcome::Receiver)?;
        let length = extent.end - extent.start;
        // What a peer says of place and length is compared, never used.
        if header.index != index || header.length != length {
            return Err(Outcome::WrongBytes);
        }
        let proof = PieceProof::from_bytes(length, &header.proof).ok_or(Outcome::WrongBytes)?;
        Ok((length, proof))
    }

    /// The bytes of piece `index`, each 64 KiB checked as it arrives.
    async fn piece(
        &self,
        stream: &mut Stream,
        index: PieceIndex,
        proof: PieceProof,
    ) -> Result<Verified, Outcome> {
        let mut receiving =
            self.live.book().receive(index, proof).map_err(|mismatch| match mismatch {
                content::Mismatch::Unknown(_) => Outcome::Receiver,
                _ => Outcome::WrongBytes,
            })?;
        let mut patience = PIECE_WITHIN;
        while receiving.missing() > 0 {
            let bytes = self.bytes(stream, receiving.missing(), &mut patience).await?;
            receiving.push(&Unverified::new(bytes)).map_err(|_| Outcome::WrongBytes)?;
        }
        receiving.finish().map_err(|_| Outcome::WrongBytes)
    }

    /// The bytes of a piece whose digest nobody signed.
    async fn unsigned(
        &self,
        stream: &mut Stream,
        index: PieceIndex,
        length: u64,
    ) -> Result<Provisional, Outcome> {
        let length_here = usize::try_from(length).map_err(|_| Outcome::Receiver)?;
        let mut whole = BytesMut::with_capacity(length_here);
        let mut patience = PIECE_WITHIN;
        while whole.len() < length_here {
            let missing = length_here - whole.len();
            whole.extend_from_slice(&self.bytes(stream, missing, &mut patience).await?);
        }
        let bytes = Unverified::new(whole.freeze());
        Provisional::new(self.live.id(), self.live.layout(), index, bytes)
            .ok_or(Outcome::WrongBytes)
    }

    /// Some bytes, within the node's limit; the wait for them is taken from `patience`.
    async fn bytes(
        &self,
        stream: &mut Stream,
        most: usize,
        patience: &mut Duration,
    ) -> Result<Bytes, Outcome> {
        let asked = Instant::now();
        let bytes = within(SILENCE.min(*patience), stream.recv_bytes(most)).await?;
        *patience = patience.saturating_sub(asked.elapsed());
        let bytes = bytes.ok_or(Outcome::Unreachable)?;
        self.limiter.take(bytes.len()).await;
        Ok(bytes)
    }
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, Outcome> {
    match tokio::time::timeout(time, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(TransportError::Frame(_))) => Err(Outcome::WrongBytes),
        Ok(Err(_)) => Err(Outcome::Unreachable),
        Err(_) => Err(Outcome::Stalled),
    }
}
