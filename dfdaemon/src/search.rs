//! The search for pieces while no supernode answers.
//!
//! For each wanted task: the peers that were seen to have pieces are asked what they hold, what was
//! signed of it, and who else has some. What they hold and a signature proves is taken from them;
//! only the rest comes from the origin.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use content::{PieceIndex, PieceSet, Run};
use futures_util::future::join_all;
use peer::feed::Need;
use peer::fetch::{Ask, fetch_run};
use peer::limits::Limiter;
use peer::{Engine, Failure, LiveTask};
use transport::{Connection, Endpoint, Expect};
use wire::control::Priority;
use wire::data::{Describe, Description, KnownPeer, Verdict};
use wire::request::{Asks, Kind, Request};

use crate::lone::Lone;
use crate::tickets::Tickets;

/// A peer that does not describe what it holds within this time is left alone for now.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(2);

/// Between two rounds of asking.
const ROUND: Duration = Duration::from_millis(500);

/// So many rounds without hope end the task: some twenty seconds, time for a supernode to return.
const PATIENCE: u32 = 40;

/// The most pieces asked of one peer in one go.
const RUN: u32 = 16;

/// What a search works with.
#[derive(Clone, Debug)]
pub struct Search {
    /// The engine whose tasks are fetched.
    pub engine: Engine,
    /// The way to others, once the node has joined a cluster.
    pub endpoint: Arc<OnceLock<Endpoint>>,
    /// How fast the node receives at most.
    pub download: Arc<Limiter>,
    /// The node's leave to fetch.
    pub tickets: Arc<Tickets>,
    /// The way to the origin.
    pub lone: Arc<Lone>,
}

/// A peer and what it holds.
struct Holder {
    connection: Connection,
    pieces: PieceSet,
}

impl Search {
    /// Fetches what readers of `live` want until nobody wants more.
    pub async fn run(self, live: Arc<LiveTask>) {
        let mut hopeless = 0;
        while let Some(want) = live.want().filter(|_| !live.is_over()) {
            let missing = missing(&live, want.run);
            if !missing.is_empty() {
                let hope = self.round(&live, missing, want.reader_at, want.priority).await;
                hopeless = if hope { 0 } else { hopeless + 1 };
            }
            if hopeless >= PATIENCE {
                let alone =
                    "no supernode answers, no peer has it, and nobody said where it comes from";
                self.engine.fail(&live.id(), Failure::new(Kind::Other, alone), false);
                return;
            }
            let mut changes = live.changes();
            let _ = tokio::time::timeout(ROUND, changes.changed()).await;
        }
    }

    /// Says whether there is hope: a peer that holds something, or an origin.
    async fn round(
        &self,
        live: &Arc<LiveTask>,
        missing: PieceSet,
        reader_at: PieceIndex,
        priority: Priority,
    ) -> bool {
        let holders = self.holders(live).await;
        let shares = share(live, &holders, &missing);
        let mut rest = missing;
        for pieces in &shares {
            rest.difference_with(pieces);
        }
        let urgent = rest.iter().find(|index| *index >= reader_at);
        let need = Need { pieces: rest, urgent };
        let nowhere = !need.pieces.is_empty() && !self.lone.need(live.id(), need);
        let fetching = holders
            .iter()
            .zip(&shares)
            .map(|(holder, pieces)| self.take(live, &holder.connection, pieces, priority));
        join_all(fetching).await;
        !nowhere || !holders.is_empty()
    }

    /// The peers that answer, and what they hold. Peers of peers are asked in the next round.
    async fn holders(&self, live: &Arc<LiveTask>) -> Vec<Holder> {
        let known = self.engine.known_peers(&live.id());
        let asked = known.iter().map(|peer| async {
            let described = tokio::time::timeout(DESCRIBE_WITHIN, self.describe(live, peer));
            described.await.ok().flatten()
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn describe(&self, live: &Arc<LiveTask>, peer: &KnownPeer) -> Option<Holder> {
        let expect = Expect::Node(peer.name.clone());
        let endpoint = self.endpoint.get()?;
        let connection = endpoint.connect(&peer.address, expect).await.ok()?;
        let request = Request {
            request_id: String::new(),
            asks: Some(Asks::Describe(Describe {
                task: live.id().to_string(),
                ticket: self.tickets.get(&live.id()),
            })),
        };
        let mut stream = connection.open(&request).await.ok()?;
        let told: Description = stream.recv().await.ok()??;
        if told.verdict() != Verdict::Follows {
            return None;
        }
        for statement in told.statements {
            // What is not of this cluster proves nothing, whoever tells it.
            let _ = live.learn_signed(statement.into(), &self.engine.verifier());
        }
        let known = self.engine.known_peers(&live.id());
        for other in told.peers {
            if !known.iter().any(|peer| peer.name == other.name) {
                self.engine.saw_peer(live.id(), other);
            }
        }
        Some(Holder {
            connection,
            pieces: PieceSet::from_bytes(live.layout().pieces(), &told.pieces),
        })
    }

    async fn take(
        &self,
        live: &Arc<LiveTask>,
        connection: &Connection,
        pieces: &PieceSet,
        priority: Priority,
    ) {
        let Some(ticket) = self.tickets.get(&live.id()) else {
            return;
        };
        for run in pieces.runs().flat_map(cut) {
            let ask = Ask { run, ticket: ticket.clone(), priority, request_id: String::new() };
            let metrics = self.engine.metrics();
            let fetched = fetch_run(live, connection, ask, &self.download, metrics).await;
            if fetched.outcome != wire::control::Outcome::Done {
                return; // the next round asks others
            }
        }
    }
}

/// The pieces of a run that are not here.
fn missing(live: &LiveTask, run: Run) -> PieceSet {
    let mut missing = PieceSet::none(live.layout().pieces());
    for index in run.iter().filter(|index| !live.has_local(*index)) {
        missing.insert(index);
    }
    missing
}

/// Who is asked for which piece: of those who hold it, whoever is asked for least. Pieces without
/// a signed digest are nobody's: they could not be believed.
fn share(live: &LiveTask, holders: &[Holder], missing: &PieceSet) -> Vec<PieceSet> {
    let book = live.book();
    let none = PieceSet::none(live.layout().pieces());
    let mut shares = vec![none; holders.len()];
    for index in missing.iter().filter(|index| book.digest(*index).is_some()) {
        let least = (0..holders.len())
            .filter(|holder| holders[*holder].pieces.contains(index))
            .min_by_key(|holder| shares[*holder].len());
        if let Some(holder) = least {
            shares[holder].insert(index);
        }
    }
    shares
}

/// A run in parts that one request may ask for.
fn cut(run: Run) -> impl Iterator<Item = Run> {
    (run.first..run.end)
        .step_by(RUN as usize)
        .map(move |first| Run { first, end: (first + RUN).min(run.end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_without_loss() {
        let run = Run { first: 3, end: 40 };
        let parts: Vec<_> = cut(run).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.iter().map(Run::len).sum::<u32>(), run.len());
        assert_eq!((parts[0].first, parts[2].end), (3, 40));
    }
}
