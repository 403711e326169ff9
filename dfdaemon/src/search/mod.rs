//! The search for pieces while no supernode answers.
//!
//! For each wanted task: the peers that may have pieces are asked what they hold, what was signed of
//! it, and who else may have some. What they hold is taken from them, if a signature proves it or
//! they hold the whole blob, which our own SHA-256 pass will judge. The rest comes from the origin,
//! read by one node at a time ([`election`]).

pub mod election;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use content::{PieceIndex, PieceSet, Run, SignedStatement, TaskId};
use futures_util::future::join_all;
use peer::feed::Need;
use peer::fetch::{Ask, fetch_run};
use peer::limits::Limiter;
use peer::{Engine, Failure, LiveTask};
use transport::{Connection, Endpoint, Expect};
use wire::control::Priority;
use wire::data::{Describe, Description, KnownPeer, Verdict};
use wire::request::{Asks, Kind, Request};

use self::election::{Candidate, Election};
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

/// So many nodes that one peer tells of are remembered.
const MAX_TOLD: usize = 32;

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
    /// Where others reach this node: address and port.
    pub address: String,
    /// The peers whose unsigned pieces made a blob that did not match.
    pub liars: Arc<Mutex<HashSet<String>>>,
}

/// A peer that answered, and what it holds.
struct Holder {
    connection: Connection,
    pieces: PieceSet,
    /// It has the whole blob, hashed, and did not lie before.
    whole: bool,
    /// It wants the task itself.
    candidate: Option<Candidate>,
}

/// A search under way.
struct Round<'a> {
    search: &'a Search,
    live: &'a Arc<LiveTask>,
    election: Election,
    /// Who gave pieces that nobody signed.
    believed: HashSet<String>,
    read: u32,
}

impl Search {
    /// Fetches what readers of `live` want until nobody wants more.
    pub async fn run(self, live: Arc<LiveTask>) {
        let me = self.endpoint.get().map(|endpoint| endpoint.identity().name().to_owned());
        let mut round = Round {
            search: &self,
            live: &live,
            election: Election::new(live.id(), me.unwrap_or_default()),
            believed: HashSet::new(),
            read: 0,
        };
        let mut hopeless = 0;
        while let Some(want) = live.want().filter(|_| !live.is_over()) {
            let missing = missing(&live, want.run);
            if !missing.is_empty() {
                let hope = round.take(missing, want.reader_at, want.priority).await;
                hopeless = if hope { 0 } else { hopeless + 1 };
            }
            if hopeless >= PATIENCE {
                let alone =
                    "no supernode answers, no peer has it, and nobody said where it comes from";
                self.engine.fail_attempt(&live, Failure::new(Kind::Other, alone), false);
                return;
            }
            let mut changes = live.changes();
            let _ = tokio::time::timeout(ROUND, changes.changed()).await;
        }
        if live.has_failed() {
            lock(&self.liars).extend(round.believed);
        }
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

    /// Learns from neighbours what a task is, if one has signed word of it.
    pub async fn learn(&self, task: TaskId) {
        let known = self.engine.known_peers(&task);
        let asked = known.iter().map(|peer| async move {
            let (_, told) =
                tokio::time::timeout(DESCRIBE_WITHIN, self.ask(task, peer)).await.ok()??;
            Some(told.statements)
        });
        for statements in join_all(asked).await.into_iter().flatten() {
            let statements: Vec<_> = statements.into_iter().map(Into::into).collect();
            // What is not of this cluster, or of another task, proves nothing, whoever tells it.
            let of_it = |signed: &SignedStatement| {
                signed.believe(&self.engine.verifier()).is_ok_and(|said| said.task() == task)
            };
            if statements.iter().all(of_it) && self.engine.open(&statements).is_ok() {
                return;
            }
        }
    }

    async fn describe(&self, live: &Arc<LiveTask>, peer: &KnownPeer) -> Option<Holder> {
        let (connection, told) = self.ask(live.id(), peer).await?;
        for statement in told.statements {
            // What is not of this cluster proves nothing, whoever tells it.
            let _ = live.learn_signed(statement.into(), &self.engine.verifier());
        }
        for other in told.peers.into_iter().take(MAX_TOLD) {
            self.engine.met(other);
        }
        let pieces = PieceSet::from_bytes(live.layout().pieces(), &told.pieces);
        if !pieces.is_empty() {
            self.engine.saw_peer(live.id(), peer.clone());
        }
        let held = pieces.len().saturating_add(told.provisional);
        Some(Holder {
            whole: told.whole && !lock(&self.liars).contains(&peer.name),
            candidate: told.wanted.then(|| Candidate {
                name: peer.name.clone(),
                provisional: told.provisional,
                held,
            }),
            connection,
            pieces,
        })
    }

    /// Asks a peer for what it knows of a task; nothing if it does not tell us.
    async fn ask(&self, task: TaskId, peer: &KnownPeer) -> Option<(Connection, Description)> {
        let expect = Expect::Node(peer.name.clone());
        let endpoint = self.endpoint.get()?;
        if endpoint.identity().name() == peer.name {
            return None; // others told us of ourselves
        }
        let connection = endpoint.connect(&peer.address, expect).await.ok()?;
        let request = Request {
            request_id: String::new(),
            asks: Some(Asks::Describe(Describe {
                task: task.to_string(),
                ticket: self.tickets.get(&task),
                address: self.address.clone(),
            })),
        };
        let mut stream = connection.open(&request).await.ok()?;
        let told: Description = stream.recv().await.ok()??;
        stream.done();
        (told.verdict() == Verdict::Follows).then_some((connection, told))
    }
}

impl Round<'_> {
    /// Takes what is missing from whoever has it. Says whether there is hope: a peer that holds
    /// something, or an origin.
    async fn take(&mut self, missing: PieceSet, reader_at: PieceIndex, priority: Priority) -> bool {
        // Counted before the others are asked: of two who read at once, each would else see itself
        // ahead for ever.
        let provisional = self.live.local().len().saturating_sub(self.live.present().len());
        let holders = self.search.holders(self.live).await;
        let shares = share(self.live, &holders, &missing);
        let mut rest = missing;
        for pieces in &shares {
            rest.difference_with(pieces);
        }
        let mine = self.is_mine(provisional, reader_at, &holders);
        let hope = self.origin(rest, (reader_at, priority), mine) || !holders.is_empty();
        for (holder, _) in holders.iter().zip(&shares).filter(|(_, share)| !share.is_empty()) {
            if holder.whole {
                self.believed.insert(holder.connection.peer().name.clone());
            }
        }
        let fetching = holders
            .iter()
            .zip(&shares)
            .map(|(holder, pieces)| self.fetch(holder, pieces, priority));
        join_all(fetching).await;
        hope
    }

    /// Whether it is this node's turn to read the origin.
    fn is_mine(&mut self, provisional: u32, reader_at: PieceIndex, holders: &[Holder]) -> bool {
        if self.read != reader_at {
            self.read = reader_at;
            self.election.moved();
        }
        let others: Vec<_> = holders.iter().filter_map(|holder| holder.candidate.clone()).collect();
        let mine = self.election.is_mine(provisional, &others, Instant::now());
        tracing::debug!(task = %self.live.id(), provisional, ?others, mine, "searched");
        mine
    }

    /// Reads `rest` from the origin, if it is this node's turn. Says whether somebody knows where
    /// it is.
    fn origin(
        &self,
        rest: PieceSet,
        (reader_at, priority): (PieceIndex, Priority),
        mine: bool,
    ) -> bool {
        let lone = &self.search.lone;
        if rest.is_empty() || !mine {
            lone.need(self.live.id(), Need::default());
            return true;
        }
        let urgent = rest.iter().find(|index| *index >= reader_at);
        lone.need(self.live.id(), Need { pieces: rest, urgent, priority })
    }

    async fn fetch(&self, holder: &Holder, pieces: &PieceSet, priority: Priority) {
        let Some(ticket) = self.search.tickets.get(&self.live.id()) else {
            return;
        };
        for run in pieces.runs().flat_map(cut) {
            let ask = Ask {
                run,
                ticket: ticket.clone(),
                priority,
                request_id: String::new(),
                unsigned: holder.whole,
            };
            let (download, metrics) = (&self.search.download, self.search.engine.metrics());
            let fetched = fetch_run(self.live, &holder.connection, ask, download, metrics).await;
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

/// Who is asked for which piece: of those who hold it, whoever is asked for least. A piece without a
/// signed digest is taken only from who has the whole: no other could know that it is right.
fn share(live: &LiveTask, holders: &[Holder], missing: &PieceSet) -> Vec<PieceSet> {
    let book = live.book();
    let none = PieceSet::none(live.layout().pieces());
    let mut shares = vec![none; holders.len()];
    for index in missing.iter() {
        let signed = book.digest(index).is_some();
        let least = (0..holders.len())
            .filter(|holder| signed || holders[*holder].whole)
            .filter(|holder| holders[*holder].pieces.contains(index))
            .min_by_key(|holder| shares[*holder].len());
        if let Some(holder) = least {
            shares[holder].insert(index);
        }
    }
    shares
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
