//! The scheduler among simulated nodes: what it decides is carried out over the links of
//! [`Network`], and what comes of it is told back; every message takes half a round trip.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use content::{Layout, PieceIndex, PieceSet, Run, TaskId};
use schedule::{Blame, Decision, Event, Lease, LeaseId, NodeFacts, NodeId, Priority, Swarm, Want};

use super::calendar::{Calendar, Micros};
use super::checker::Checker;
use super::net::{Bytes, FlowId, Move, Network, micros};
use super::rng::Rng;
use super::setup::{Rates, Setup};

/// What will happen.
#[derive(Clone, Debug)]
pub enum Happens {
    /// The scheduler hears of something.
    Tell(Event),
    /// A node hears of a lease.
    Arrives(Lease),
    /// A parent hears what it is asked for.
    Starts(Lease),
    /// A node hears that a lease is taken back.
    TakenBack(LeaseId),
    /// Something moves on the links.
    Moves(Move),
    /// The origin has sent a piece.
    Origin,
    /// It is time to plan.
    Plan,
}

impl From<Move> for Happens {
    fn from(moved: Move) -> Self {
        Self::Moves(moved)
    }
}

struct Peer {
    end: usize,
    has: PieceSet,
    count: u32,
    done_at: Option<Micros>,
    /// Whether it wants what it has not.
    is_awaited: bool,
    is_dead: bool,
}

/// A lease that is being carried out.
struct Transfer {
    lease: Lease,
    since: Micros,
    landed: u32,
}

/// What a run has cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    pub leases: u64,
    /// Pieces that came whole.
    pub pieces: u64,
    /// Of them, from the cache, and from another rack.
    pub from_cache: u64,
    pub far: u64,
    pub from_origin: u64,
    pub plans: u64,
    pub planning: Duration,
    pub applying: Duration,
}

pub struct Sim {
    pub swarm: Swarm,
    pub setup: Setup,
    pub task: TaskId,
    pub now: Micros,
    pub checker: Checker,
    pub costs: Costs,
    pub network: Network,
    pub rng: Rng,
    calendar: Calendar<Happens>,
    peers: BTreeMap<NodeId, Peer>,
    layout: Layout,
    transfers: HashMap<FlowId, Transfer>,
    need: VecDeque<PieceIndex>,
    origin_is_busy: bool,
    /// When a plan is entered for, and when the last one was.
    plan_at: Option<Micros>,
    planned_at: Option<Micros>,
    unfinished: usize,
}

impl Sim {
    pub fn new(setup: Setup) -> Self {
        let layout = Layout::told(setup.length(), setup.piece_size).unwrap();
        let mut sim = Self {
            swarm: Swarm::new(setup.policy.clone(), setup.seed),
            task: TaskId::of_url_fields(["simulated"]),
            now: 0,
            checker: Checker::new(setup.policy.clone()),
            costs: Costs::default(),
            network: Network::new(setup.block, setup.delay),
            rng: Rng(setup.seed),
            calendar: Calendar::new(),
            peers: BTreeMap::new(),
            layout,
            transfers: HashMap::new(),
            need: VecDeque::new(),
            origin_is_busy: false,
            plan_at: None,
            planned_at: None,
            unfinished: 0,
            setup,
        };
        sim.join(NodeId::CACHE, sim.setup.cache, sim.setup.cache_slots);
        let task = sim.task;
        sim.tell(Event::Task { task, layout });
        if sim.setup.cached {
            sim.holds(NodeId::CACHE, layout.all());
        }
        for node in 1..=sim.setup.nodes {
            sim.join(NodeId(node), sim.setup.node, sim.setup.node_slots);
        }
        sim
    }

    pub fn join(&mut self, node: NodeId, rates: Rates, slots: u32) {
        let peer = Peer {
            end: self.network.add(rates.up, rates.down),
            has: PieceSet::none(self.setup.pieces),
            count: 0,
            done_at: None,
            is_awaited: node != NodeId::CACHE,
            is_dead: false,
        };
        self.unfinished += usize::from(peer.is_awaited);
        self.peers.insert(node, peer);
        let facts = NodeFacts {
            upload_slots: slots,
            upload_bytes_per_s: None,
            zone: String::new(),
            rack: (node.0 % self.setup.racks).to_string(),
            can_serve: true,
        };
        self.tell(Event::Joined { node, facts });
    }

    /// Makes a node send slower than the others, without telling anybody.
    pub fn slow_down(&mut self, node: NodeId, factor: u64) {
        self.network.slow_down(self.peers[&node].end, factor);
    }

    pub fn holds(&mut self, node: NodeId, run: Run) {
        let mut pieces = PieceSet::none(self.setup.pieces);
        pieces.insert_run(run);
        for piece in run.iter() {
            self.keep(node, piece);
        }
        let task = self.task;
        self.tell(Event::Has { node, task, pieces });
    }

    /// A node claims what it has not. It wants nothing: it would not get what it claims.
    pub fn lies(&mut self, node: NodeId) {
        self.await_no_more(node);
        let (task, pieces) = (self.task, PieceSet::all(self.setup.pieces));
        self.tell(Event::Has { node, task, pieces });
    }

    pub fn want(&mut self, node: NodeId, run: Run, priority: Priority) {
        let want = Want { task: self.task, run, reader_at: run.first, priority };
        self.tell(Event::Wants { node, want });
    }

    pub fn all_want(&mut self) {
        for node in 1..=self.setup.nodes {
            self.want(NodeId(node), self.layout.all(), Priority::Pull);
        }
    }

    /// A node dies; the scheduler learns of it after `notice`, or never.
    pub fn kill(&mut self, node: NodeId, notice: Option<Micros>) {
        self.await_no_more(node);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.is_dead = true;
            self.network.cut_off(peer.end);
        }
        if let Some(notice) = notice {
            self.later(notice, Happens::Tell(Event::Left { node }));
        }
    }

    pub fn tell(&mut self, event: Event) {
        if self.setup.checked {
            self.checker.event(&event);
        }
        let begun = Instant::now();
        if self.rng.chance(self.setup.faults.duplicate) {
            self.swarm.apply(event.clone(), self.now / 1000);
        }
        self.swarm.apply(event, self.now / 1000);
        self.costs.applying += begun.elapsed();
        self.plan_soon(self.now);
    }

    fn later(&mut self, delay: Micros, what: Happens) {
        self.calendar.enter(self.now + delay, what);
    }

    /// How much of what all living nodes want is there, in thousandths.
    pub fn progress(&self) -> u64 {
        let living = self.peers.iter().filter(|(id, p)| **id != NodeId::CACHE && !p.is_dead);
        let (have, nodes) =
            living.fold((0, 0), |(have, n), (_, p)| (have + u64::from(p.count), n + 1));
        have * 1000 / (nodes * u64::from(self.setup.pieces)).max(1)
    }

    /// Runs until all living nodes have all, or `until` says so; panics if nothing happens any more
    /// or it takes too long. Returns when the last node was complete.
    pub fn run(&mut self, limit: Micros, mut until: impl FnMut(&mut Self) -> bool) -> Micros {
        while self.unfinished > 0 && !until(self) {
            let Some(at) = self.calendar.next_at() else {
                panic!("nothing happens any more: {:?} {:?}", self.swarm, self.swarm.tasks());
            };
            assert!(at < limit, "too slow: {:?} {:?}", self.swarm.tasks(), self.swarm.stats());
            self.now = at;
            while self.calendar.next_at() == Some(at) {
                if let Some(what) = self.calendar.pop() {
                    self.happen(what);
                }
            }
            if self.plan_at.is_some_and(|plan_at| plan_at <= at) {
                self.plan();
            }
        }
        self.peers.values().filter_map(|p| p.done_at).max().unwrap_or(self.now)
    }

    pub fn finish(&mut self) -> Micros {
        self.run(Micros::MAX / 2, |_| false)
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Tell(event) => self.tell(event),
            Happens::Arrives(lease) => self.arrives(lease),
            Happens::Starts(lease) => self.starts(&lease),
            Happens::TakenBack(lease) => self.stop(lease),
            Happens::Moves(moved) => {
                let landed = self.network.go_on(moved, self.now, &mut self.calendar);
                if let Some((flow, bytes)) = landed {
                    self.landed(flow, bytes);
                }
            }
            Happens::Origin => self.origin(),
            Happens::Plan => {}
        }
    }

    /// Enters a plan at `at`, or a tick after the last one.
    fn plan_soon(&mut self, at: Micros) {
        let tick = self.planned_at.map_or(0, |planned| planned + self.setup.tick);
        let at = at.max(tick).max(self.now);
        if self.plan_at.is_none_or(|entered| at < entered) {
            self.plan_at = Some(at);
            self.calendar.enter(at, Happens::Plan);
        }
    }

    fn plan(&mut self) {
        let begun = Instant::now();
        let decisions = self.swarm.plan(self.now / 1000);
        self.costs.planning += begun.elapsed();
        self.costs.plans += 1;
        (self.planned_at, self.plan_at) = (Some(self.now), None);
        for decision in decisions {
            if self.setup.checked {
                self.checker.decision(&decision, self.now / 1000);
            }
            self.carry_out(decision);
        }
        if let Some(at) = self.swarm.next_timer() {
            self.plan_soon((at * 1000).max(self.now + 1000));
        }
    }

    fn carry_out(&mut self, decision: Decision) {
        match decision {
            Decision::Lease(lease) => {
                self.costs.leases += 1;
                self.later(self.setup.delay, Happens::Arrives(lease));
            }
            Decision::Cancel { lease, .. } => {
                self.later(self.setup.delay, Happens::TakenBack(lease));
            }
            Decision::Need { pieces, urgent_first, .. } => {
                let first = urgent_first.unwrap_or(0);
                let (late, early): (Vec<_>, Vec<_>) = pieces.iter().partition(|p| *p < first);
                self.need = early.into_iter().chain(late).collect();
                self.ask_origin();
            }
            Decision::SetAside { .. } => {}
        }
    }

    fn ask_origin(&mut self) {
        if !self.origin_is_busy && !self.need.is_empty() {
            self.origin_is_busy = true;
            let time = micros(self.setup.piece_size, self.setup.cache.down);
            self.later(time, Happens::Origin);
        }
    }

    fn origin(&mut self) {
        self.origin_is_busy = false;
        if let Some(piece) = self.need.pop_front() {
            self.costs.from_origin += 1;
            self.holds(NodeId::CACHE, Run { first: piece, end: piece + 1 });
        }
        self.ask_origin();
    }

    fn arrives(&mut self, lease: Lease) {
        if self.peers[&lease.node].is_dead {
            return;
        }
        if let Some(blame) = self.goes_wrong() {
            if let Some(blame) = blame {
                self.fails(lease.id, blame);
            }
            return;
        }
        self.transfers.insert(lease.id.0, Transfer { lease, since: self.now, landed: 0 });
        self.later(self.setup.delay, Happens::Starts(lease));
    }

    fn starts(&mut self, lease: &Lease) {
        if !self.transfers.contains_key(&lease.id.0) {
            return; // taken back meanwhile
        }
        let to = self.peers[&lease.node].end;
        let Some(parent) = self.peers.get(&lease.parent).filter(|parent| !parent.is_dead) else {
            return; // the connection hangs; the scheduler finds out
        };
        if !lease.run.iter().all(|piece| parent.has.contains(piece)) {
            self.fails(lease.id, Blame::Missing);
            return;
        }
        let bytes = u64::from(lease.run.len()) * self.setup.piece_size;
        let ends = (parent.end, to);
        self.network.start(lease.id.0, ends, bytes, self.now, &mut self.calendar);
    }

    /// Whether a lease fails, by the dice: with a word, or without one.
    fn goes_wrong(&mut self) -> Option<Option<Blame>> {
        let faults = self.setup.faults;
        let dice = self.rng.below(1000);
        let steps = [
            (faults.wrong_bytes, Some(Blame::Parent)),
            (faults.unreachable, Some(Blame::Unreachable)),
            (faults.busy, Some(Blame::Busy)),
            (faults.receiver, Some(Blame::Receiver)),
            (faults.stall, None),
        ];
        let mut floor = 0;
        for (share, blame) in steps {
            floor += share;
            if dice < floor {
                return Some(blame);
            }
        }
        None
    }

    fn fails(&mut self, lease: LeaseId, blame: Blame) {
        let got = PieceSet::none(self.setup.pieces);
        let failed = Event::Failed { lease, got, blame };
        self.later(self.setup.delay + 1000, Happens::Tell(failed));
    }

    fn stop(&mut self, lease: LeaseId) {
        self.network.stop(lease.0);
        self.transfers.remove(&lease.0);
    }

    /// So many bytes of a lease have landed; pieces that are whole by that are kept and told.
    fn landed(&mut self, flow: FlowId, bytes: Bytes) {
        let size = self.setup.piece_size;
        let Some(transfer) = self.transfers.get_mut(&flow) else {
            return;
        };
        let whole = u32::try_from(bytes / size).unwrap();
        let lease = transfer.lease;
        let first = lease.run.first + transfer.landed;
        transfer.landed = whole;
        for piece in first..lease.run.first + whole {
            self.received(&lease, piece);
        }
        if whole == lease.run.len() {
            self.done(&lease);
        }
    }

    fn received(&mut self, lease: &Lease, piece: PieceIndex) {
        self.costs.pieces += 1;
        self.costs.from_cache += u64::from(lease.parent == NodeId::CACHE);
        let rack = |node: NodeId| node.0 % self.setup.racks;
        self.costs.far += u64::from(rack(lease.node) != rack(lease.parent));
        self.keep(lease.node, piece);
        if self.setup.tells_pieces && piece + 1 < lease.run.end {
            let mut pieces = PieceSet::none(self.setup.pieces);
            pieces.insert(piece);
            let has = Event::Has { node: lease.node, task: lease.task, pieces };
            self.later(self.setup.delay, Happens::Tell(has));
        }
    }

    fn done(&mut self, lease: &Lease) {
        let Some(transfer) = self.transfers.remove(&lease.id.0) else {
            return;
        };
        let mut pieces = PieceSet::none(self.setup.pieces);
        pieces.insert_run(lease.run);
        let done = Event::Done {
            lease: lease.id,
            pieces,
            bytes: u64::from(lease.run.len()) * self.setup.piece_size,
            millis: (self.now - transfer.since) / 1000,
        };
        self.later(self.setup.delay, Happens::Tell(done));
    }

    fn keep(&mut self, node: NodeId, piece: PieceIndex) {
        let peer = self.peers.get_mut(&node).unwrap();
        peer.count += u32::from(peer.has.insert(piece));
        if peer.count == self.setup.pieces && peer.is_awaited {
            peer.done_at = Some(self.now);
            self.await_no_more(node);
        }
    }

    fn await_no_more(&mut self, node: NodeId) {
        let peer = self.peers.get_mut(&node).unwrap();
        self.unfinished -= usize::from(std::mem::take(&mut peer.is_awaited));
    }
}
