//! Nodes and links, simulated: each uplink sends the pieces of its leases one after the other, in
//! the order in which the leases came; every message takes half a round trip.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use content::{Layout, PieceIndex, PieceSet, Run, TaskId};
use schedule::{
    Blame, Decision, Event, Lease, LeaseId, NodeFacts, NodeId, Policy, Priority, Swarm, Want,
};

use super::checker::Checker;
use super::rng::Rng;

/// Microseconds: the simulator is finer than the scheduler.
pub type Micros = u64;

/// How often what goes wrong, in a thousand leases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub wrong_bytes: u64,
    pub unreachable: u64,
    pub busy: u64,
    pub receiver: u64,
    /// Never ends by itself, and nobody says so.
    pub stall: u64,
    /// Events told twice.
    pub duplicate: u64,
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub nodes: u64,
    pub pieces: u32,
    pub piece_size: u64,
    pub policy: Policy,
    /// How long one piece occupies the cache's uplink, and a node's.
    pub cache_piece: Micros,
    pub node_piece: Micros,
    pub cache_slots: u32,
    pub node_slots: u32,
    /// From a decision to its receiver, and from a report to the scheduler.
    pub delay: Micros,
    /// Whether nodes tell each piece as it lands, or only the end of a lease.
    pub tells_pieces: bool,
    /// Whether the cache has it all, or the origin has to be asked.
    pub cached: bool,
    pub racks: u64,
    pub faults: Faults,
    pub checked: bool,
}

impl Setup {
    /// The round model: one upload and one download per node and round, no delay.
    pub fn rounds(nodes: u64, pieces: u32, seed: u64) -> Self {
        let policy = Policy {
            leases_per_receiver: 1,
            max_run_pieces: 1,
            // Every lease takes one round, so none is late.
            min_endgame: 1000,
            ..Policy::default()
        };
        Self {
            seed,
            nodes,
            pieces,
            piece_size: 64 * 1024,
            policy,
            cache_piece: 100_000,
            node_piece: 100_000,
            cache_slots: 1,
            node_slots: 1,
            delay: 0,
            tells_pieces: false,
            cached: true,
            racks: 1,
            faults: Faults::default(),
            checked: false,
        }
    }

    /// Links of 1 Gbit/s, a round trip of a millisecond, the default policy.
    pub fn gigabit(nodes: u64, pieces: u32, piece_size: u64, seed: u64) -> Self {
        let piece = piece_size * 1_000_000 / 125_000_000;
        Self {
            piece_size,
            policy: Policy::default(),
            cache_piece: piece,
            node_piece: piece,
            cache_slots: 0,
            node_slots: 0,
            delay: 500,
            tells_pieces: true,
            ..Self::rounds(nodes, pieces, seed)
        }
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Tell(Event),
    Arrives(Lease),
    Sent(NodeId, LeaseId),
    Origin,
    Plan,
}

struct Peer {
    piece_time: Micros,
    queue: VecDeque<(Lease, PieceIndex, Micros)>,
    /// Whether a piece is under way.
    sending: bool,
    has: BTreeSet<PieceIndex>,
    done_at: Option<Micros>,
    dead: bool,
}

pub struct Sim {
    pub swarm: Swarm,
    pub setup: Setup,
    pub task: TaskId,
    pub now: Micros,
    pub checker: Checker,
    pub leases: u64,
    pub sent_pieces: u64,
    pub far_pieces: u64,
    pub source_pieces: u64,
    pub plan_time: std::time::Duration,
    pub plans: u64,
    peers: BTreeMap<NodeId, Peer>,
    layout: Layout,
    calendar: BinaryHeap<Reverse<(Micros, u64)>>,
    entries: HashMap<u64, Happens>,
    sequence: u64,
    cancelled: BTreeSet<LeaseId>,
    /// When each lease came to its receiver.
    since: HashMap<LeaseId, Micros>,
    need: VecDeque<PieceIndex>,
    origin_busy: bool,
    origin_pieces: u64,
    pub rng: Rng,
}

impl Sim {
    pub fn new(setup: Setup) -> Self {
        let layout = Layout::told(u64::from(setup.pieces) * setup.piece_size, setup.piece_size);
        let mut sim = Self {
            swarm: Swarm::new(setup.policy.clone(), setup.seed),
            task: TaskId::of_url_fields(["simulated"]),
            now: 0,
            checker: Checker::new(setup.policy.clone()),
            leases: 0,
            sent_pieces: 0,
            far_pieces: 0,
            source_pieces: 0,
            plan_time: std::time::Duration::ZERO,
            plans: 0,
            peers: BTreeMap::new(),
            layout: layout.unwrap(),
            calendar: BinaryHeap::new(),
            entries: HashMap::new(),
            sequence: 0,
            cancelled: BTreeSet::new(),
            since: HashMap::new(),
            need: VecDeque::new(),
            origin_busy: false,
            origin_pieces: 0,
            rng: Rng(setup.seed),
            setup,
        };
        sim.join(NodeId::CACHE, sim.setup.cache_piece, sim.setup.cache_slots);
        let (task, layout) = (sim.task, sim.layout);
        sim.tell(Event::Task { task, layout });
        if sim.setup.cached {
            sim.holds(NodeId::CACHE, layout.all());
        }
        for node in 1..=sim.setup.nodes {
            sim.join(NodeId(node), sim.setup.node_piece, sim.setup.node_slots);
        }
        sim
    }

    pub fn join(&mut self, node: NodeId, piece_time: Micros, slots: u32) {
        let peer = Peer {
            piece_time,
            queue: VecDeque::new(),
            sending: false,
            has: BTreeSet::new(),
            done_at: None,
            dead: false,
        };
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
        self.peers.get_mut(&node).unwrap().piece_time *= factor;
    }

    pub fn holds(&mut self, node: NodeId, run: Run) {
        self.peers.get_mut(&node).unwrap().has.extend(run.iter());
        let mut pieces = PieceSet::none(self.setup.pieces);
        pieces.insert_run(run);
        let task = self.task;
        self.tell(Event::Has { node, task, pieces });
    }

    /// A node claims what it has not. It wants nothing: it would not get what it claims.
    pub fn lies(&mut self, node: NodeId) {
        self.peers.get_mut(&node).unwrap().done_at = Some(0);
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
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.dead = true;
            peer.queue.clear();
        }
        if let Some(notice) = notice {
            self.later(notice, Happens::Tell(Event::Left { node }));
        }
    }

    pub fn tell(&mut self, event: Event) {
        if self.setup.checked {
            self.checker.event(&event);
        }
        if self.rng.chance(self.setup.faults.duplicate) {
            self.swarm.apply(event.clone(), self.now / 1000);
        }
        self.swarm.apply(event, self.now / 1000);
    }

    fn later(&mut self, delay: Micros, what: Happens) {
        self.sequence += 1;
        self.entries.insert(self.sequence, what);
        self.calendar.push(Reverse((self.now + delay, self.sequence)));
    }

    /// How much of what all living nodes want is there, in thousandths.
    pub fn progress(&self) -> u64 {
        let living = self.peers.iter().filter(|(id, p)| **id != NodeId::CACHE && !p.dead);
        let (have, nodes) =
            living.fold((0, 0), |(have, n), (_, p)| (have + p.has.len() as u64, n + 1));
        have * 1000 / (nodes * u64::from(self.setup.pieces)).max(1)
    }

    /// Runs until all living nodes have all, or `until` says so; panics if nothing happens any more
    /// or it takes too long. Returns when the last node was complete.
    pub fn run(&mut self, limit: Micros, mut until: impl FnMut(&mut Self) -> bool) -> Micros {
        self.plan();
        loop {
            if self.is_complete() || until(self) {
                return self.peers.values().filter_map(|p| p.done_at).max().unwrap_or(self.now);
            }
            let Some(Reverse((at, _))) = self.calendar.peek().copied() else {
                panic!("nothing happens any more: {:?} {:?}", self.swarm, self.swarm.tasks());
            };
            assert!(at < limit, "too slow: {:?} {:?}", self.swarm.tasks(), self.swarm.stats());
            self.now = at;
            while let Some(Reverse((next, sequence))) = self.calendar.peek().copied() {
                if next != at {
                    break;
                }
                self.calendar.pop();
                let what = self.entries.remove(&sequence).unwrap();
                self.happen(what);
            }
            self.plan();
        }
    }

    pub fn finish(&mut self) -> Micros {
        self.run(Micros::MAX / 2, |_| false)
    }

    pub fn is_complete(&self) -> bool {
        let mut peers = self.peers.iter();
        peers.all(|(id, p)| *id == NodeId::CACHE || p.dead || p.done_at.is_some())
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Tell(event) => self.tell(event),
            Happens::Arrives(lease) => self.arrives(lease),
            Happens::Sent(parent, lease) => self.sent(parent, lease),
            Happens::Origin => self.origin(),
            Happens::Plan => {}
        }
    }

    fn plan(&mut self) {
        let begun = std::time::Instant::now();
        let decisions = self.swarm.plan(self.now / 1000);
        self.plan_time += begun.elapsed();
        self.plans += 1;
        for decision in decisions {
            if self.setup.checked {
                self.checker.decision(&decision);
            }
            match decision {
                Decision::Lease(lease) => {
                    self.leases += 1;
                    self.later(self.setup.delay, Happens::Arrives(lease));
                }
                Decision::Cancel { lease, .. } => {
                    self.cancelled.insert(lease);
                }
                Decision::Need { pieces, urgent_first, .. } => {
                    let first = urgent_first.unwrap_or(0);
                    let (late, early): (Vec<_>, Vec<_>) = pieces.iter().partition(|p| *p < first);
                    self.need = early.into_iter().chain(late).collect();
                    if !self.origin_busy {
                        self.origin_busy = true;
                        self.later(self.setup.cache_piece, Happens::Origin);
                    }
                }
                Decision::SetAside { .. } => {}
            }
        }
        if let Some(at) = self.swarm.next_timer() {
            let delay = (at * 1000).saturating_sub(self.now).max(1000);
            self.later(delay, Happens::Plan);
        }
    }

    fn origin(&mut self) {
        let Some(piece) = self.need.pop_front() else {
            self.origin_busy = false;
            return;
        };
        self.origin_pieces += 1;
        self.holds(NodeId::CACHE, Run { first: piece, end: piece + 1 });
        self.later(self.setup.cache_piece, Happens::Origin);
    }

    fn arrives(&mut self, lease: Lease) {
        if self.peers[&lease.node].dead || self.cancelled.contains(&lease.id) {
            return;
        }
        self.since.insert(lease.id, self.now);
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
                if let Some(blame) = blame {
                    self.fails(lease.id, blame);
                }
                return;
            }
        }
        if self.peers.get(&lease.parent).is_none_or(|parent| parent.dead) {
            // The connection hangs; the scheduler finds out.
            return;
        }
        let parent = self.peers.get_mut(&lease.parent).unwrap();
        if !lease.run.iter().all(|piece| parent.has.contains(&piece)) {
            self.fails(lease.id, Blame::Missing);
            return;
        }
        parent.queue.push_back((lease, lease.run.first, self.now));
        self.send(lease.parent);
    }

    fn fails(&mut self, lease: LeaseId, blame: Blame) {
        let got = PieceSet::none(self.setup.pieces);
        let failed = Event::Failed { lease, got, blame };
        self.later(self.setup.delay + 1000, Happens::Tell(failed));
    }

    /// Begins the next piece of an idle uplink.
    fn send(&mut self, id: NodeId) {
        let parent = self.peers.get_mut(&id).unwrap();
        let cancelled = &self.cancelled;
        if parent.sending {
            return;
        }
        parent.queue.retain(|(lease, _, _)| !cancelled.contains(&lease.id));
        let Some((lease, _, _)) = parent.queue.front() else {
            return;
        };
        parent.sending = true;
        let (lease, time) = (lease.id, parent.piece_time);
        self.later(time, Happens::Sent(id, lease));
    }

    /// A piece has left an uplink, and is with its receiver.
    fn sent(&mut self, id: NodeId, lease: LeaseId) {
        let parent = self.peers.get_mut(&id).unwrap();
        parent.sending = false;
        if parent.dead {
            return;
        }
        if parent.queue.front().is_some_and(|(first, _, _)| first.id == lease) {
            let (lease, piece, _) = parent.queue.pop_front().unwrap();
            if piece + 1 < lease.run.end {
                parent.queue.push_front((lease, piece + 1, 0));
            }
            self.received(lease, piece);
        }
        self.send(id);
    }

    fn received(&mut self, lease: Lease, piece: PieceIndex) {
        self.sent_pieces += 1;
        self.source_pieces += u64::from(lease.parent == NodeId::CACHE);
        let rack = |node: NodeId| node.0 % self.setup.racks;
        self.far_pieces += u64::from(rack(lease.node) != rack(lease.parent));
        let now = self.now;
        let pieces = self.setup.pieces;
        let receiver = self.peers.get_mut(&lease.node).unwrap();
        if receiver.dead {
            return;
        }
        receiver.has.insert(piece);
        if receiver.has.len() == pieces as usize {
            receiver.done_at.get_or_insert(now);
        }
        let mut got = PieceSet::none(pieces);
        if piece + 1 == lease.run.end {
            got.insert_run(lease.run);
            let millis = (self.now - self.since[&lease.id]) / 1000;
            let done = Event::Done {
                lease: lease.id,
                pieces: got,
                bytes: u64::from(lease.run.len()) * self.setup.piece_size,
                millis,
            };
            self.later(self.setup.delay, Happens::Tell(done));
        } else if self.setup.tells_pieces {
            got.insert(piece);
            let has = Event::Has { node: lease.node, task: lease.task, pieces: got };
            self.later(self.setup.delay, Happens::Tell(has));
        }
    }
}

/// Microseconds of the exact discrete bound for one source of the same rate:
/// `tau * (P + floor(log2 N))`.
pub fn b_disc(setup: &Setup) -> Micros {
    (u64::from(setup.pieces) + u64::from(setup.nodes.ilog2())) * setup.cache_piece
}

/// Microseconds of the fluid bound where `slow` of the nodes send `factor` times slower:
/// `N * S / (U + sum of the uplinks)`.
pub fn b_fluid(setup: &Setup, slow: u64, factor: u64) -> Micros {
    let all = setup.nodes * u64::from(setup.pieces) * setup.cache_piece * factor;
    all / (factor + (setup.nodes - slow) * factor + slow)
}
