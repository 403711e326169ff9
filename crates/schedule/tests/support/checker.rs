//! The invariants of the scheduler, checked from outside: it sees only events and decisions.

use std::collections::{BTreeMap, BTreeSet};

use content::{PieceIndex, PieceSet, TaskId};
use schedule::{Blame, Decision, Event, Lease, LeaseId, Millis, NodeId, Policy, Priority, Want};

#[derive(Default)]
struct Known {
    slots: u32,
    can_serve: bool,
    has: BTreeMap<TaskId, BTreeSet<PieceIndex>>,
    wants: BTreeMap<TaskId, Want>,
}

/// Follows a swarm and panics at the first decision that breaks an invariant.
pub struct Checker {
    policy: Policy,
    nodes: BTreeMap<NodeId, Known>,
    counts: BTreeMap<TaskId, u32>,
    leases: BTreeMap<LeaseId, Lease>,
    /// Leases that were taken back: what they brought counts.
    past: BTreeMap<LeaseId, Lease>,
    /// Until when a node may not be used for a task.
    aside: BTreeMap<(TaskId, NodeId), Millis>,
    /// Whether nothing went wrong so far, so that nothing may be sent twice.
    pub calm: bool,
    /// Leases that the cache gave, by piece.
    pub source_sent: u64,
}

impl Checker {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            nodes: BTreeMap::new(),
            counts: BTreeMap::new(),
            leases: BTreeMap::new(),
            past: BTreeMap::new(),
            aside: BTreeMap::new(),
            calm: true,
            source_sent: 0,
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Joined { node, facts } => {
                let slots = match (facts.upload_slots, *node) {
                    (0, NodeId::CACHE) => self.policy.cache_upload_slots,
                    (0, _) => self.policy.upload_slots,
                    (told, _) => told,
                };
                let known = self.nodes.entry(*node).or_default();
                known.slots = slots;
                known.can_serve = facts.can_serve;
            }
            Event::Left { node } => {
                self.calm = false;
                self.nodes.remove(node);
                self.leases.retain(|_, lease| lease.node != *node);
            }
            Event::Task { task, layout } => {
                self.counts.entry(*task).or_insert_with(|| layout.pieces());
            }
            Event::Forget { task } => {
                self.counts.remove(task);
                for known in self.nodes.values_mut() {
                    known.has.remove(task);
                    known.wants.remove(task);
                }
            }
            Event::Wants { node, want } => {
                if let Some(known) = self.nodes.get_mut(node) {
                    known.wants.insert(want.task, *want);
                }
            }
            Event::Unwants { node, task } => {
                if let Some(known) = self.nodes.get_mut(node) {
                    known.wants.remove(task);
                }
            }
            Event::Has { node, task, pieces } => {
                if let (Some(known), true) =
                    (self.nodes.get_mut(node), self.counts.contains_key(task))
                {
                    known.has.entry(*task).or_default().extend(pieces.iter());
                }
            }
            Event::Lost { node, task, pieces } => {
                self.calm = false;
                if let Some(has) = self.nodes.get_mut(node).and_then(|k| k.has.get_mut(task)) {
                    has.retain(|piece| !pieces.contains(*piece));
                }
            }
            Event::Done { lease, pieces, .. } => self.over(*lease, pieces.iter().collect()),
            Event::Failed { lease, got, blame } => {
                self.calm = false;
                if matches!(blame, Blame::Parent | Blame::Missing) {
                    self.unclaim(*lease, got);
                }
                self.over(*lease, got.iter().collect());
            }
        }
    }

    /// A claim that proved wrong counts no more.
    fn unclaim(&mut self, lease: LeaseId, got: &PieceSet) {
        let lease = self.leases.get(&lease).or_else(|| self.past.get(&lease));
        if let Some(lease) = lease
            && let Some(known) = self.nodes.get_mut(&lease.parent)
            && let Some(has) = known.has.get_mut(&lease.task)
        {
            has.retain(|piece| !lease.run.contains(*piece) || got.contains(*piece));
        }
    }

    fn over(&mut self, lease: LeaseId, got: Vec<PieceIndex>) {
        let over = self.leases.remove(&lease);
        let Some(lease) = over.or_else(|| self.past.remove(&lease)) else {
            return;
        };
        let run = lease.run;
        if let Some(known) = self.nodes.get_mut(&lease.node) {
            let has = known.has.entry(lease.task).or_default();
            has.extend(got.into_iter().filter(|piece| run.contains(*piece)));
        }
    }

    pub fn decision(&mut self, decision: &Decision, now: Millis) {
        match decision {
            Decision::Lease(lease) => self.lease(lease, now),
            Decision::Cancel { lease, .. } => {
                if let Some(over) = self.leases.remove(lease) {
                    self.past.insert(*lease, over);
                }
            }
            Decision::SetAside { node, task } => {
                self.aside.insert((*task, *node), now + self.policy.set_aside);
            }
            Decision::Need { .. } => {}
        }
    }

    fn lease(&mut self, lease: &Lease, now: Millis) {
        assert_ne!(lease.node, lease.parent, "a lease to oneself");
        assert!(!lease.run.is_empty(), "an empty lease");
        assert!(lease.run.len() <= self.policy.max_run_pieces, "too long");
        let aside = self.aside.get(&(lease.task, lease.parent));
        assert!(
            aside.is_none_or(|until| *until <= now + 5),
            "set aside until {aside:?}, now {now}"
        );
        let receiver = &self.nodes[&lease.node];
        let parent = &self.nodes[&lease.parent];
        assert!(parent.can_serve, "a parent that does not serve");
        let want = &receiver.wants[&lease.task];
        let mut again = false;
        for piece in lease.run.iter() {
            assert!(piece < self.counts[&lease.task], "no such piece");
            assert!(want.run.contains(piece), "{piece} is not wanted");
            let has =
                |known: &Known| known.has.get(&lease.task).is_some_and(|h| h.contains(&piece));
            assert!(!has(receiver), "the receiver has {piece}");
            // What a parent claims may be dropped by the scheduler; it never invents a claim.
            assert!(has(parent), "the parent lacks {piece}");
            let asked = self.in_flight_to(lease.node, lease.task, piece);
            assert!(asked < 2, "{piece} is asked three times");
            again |= asked == 1;
        }
        if lease.parent == NodeId::CACHE {
            self.source_sent += u64::from(lease.run.len());
            // A blocked read takes what it waits for from whoever can give it.
            if self.calm && !again && lease.priority != Priority::Blocked {
                self.nothing_twice(lease);
            }
        }
        self.leases.insert(lease.id, *lease);
        self.slots(lease, again);
    }

    fn slots(&self, lease: &Lease, again: bool) {
        let extra = match lease.priority {
            Priority::Blocked => self.policy.blocked_extra,
            _ => 0,
        };
        let uploads = self.leases.values().filter(|l| l.parent == lease.parent);
        let uploads = u32::try_from(uploads.count()).unwrap();
        assert!(uploads <= self.nodes[&lease.parent].slots + extra, "slots");
        let downloads = self.leases.values().filter(|l| l.node == lease.node);
        let downloads = u32::try_from(downloads.count()).unwrap();
        let limit = self.policy.leases_per_receiver;
        let limit = if again { 2 * limit } else { limit + extra };
        assert!(again || downloads <= limit * 2, "receiver over its limit");
    }

    fn in_flight_to(&self, node: NodeId, task: TaskId, piece: PieceIndex) -> usize {
        let leases = self.leases.values();
        leases.filter(|l| l.node == node && l.task == task && l.run.contains(piece)).count()
    }

    /// The source gives nothing that was sent before while it could give what was never sent to a
    /// receiver with room. Holds if the window covers the task.
    fn nothing_twice(&self, lease: &Lease) {
        let fresh = |piece: PieceIndex| {
            let others = self.nodes.iter().filter(|(node, _)| **node != NodeId::CACHE);
            let mut holders = others.filter(|(_, known)| {
                known.has.get(&lease.task).is_some_and(|h| h.contains(&piece))
            });
            holders.next().is_none()
                && !self.leases.values().any(|l| l.task == lease.task && l.run.contains(piece))
        };
        if lease.run.iter().all(fresh) {
            return;
        }
        let source = &self.nodes[&NodeId::CACHE].has[&lease.task];
        for piece in source.iter().filter(|piece| fresh(**piece)) {
            for (node, known) in &self.nodes {
                let room = self.leases.values().filter(|l| l.node == *node).count()
                    < self.policy.leases_per_receiver as usize;
                let wants = known.wants.get(&lease.task).is_some_and(|want| {
                    want.run.contains(*piece) && want.priority <= lease.priority
                });
                assert!(
                    !(room && wants && *node != NodeId::CACHE),
                    "the source sends {:?} again while {node:?} waits for {piece}",
                    lease.run
                );
            }
        }
    }
}
