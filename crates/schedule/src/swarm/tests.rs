//! What the scheduler decides in small cases, and that its counts hold under any events.

use content::{Layout, PieceSet, Run, TaskId};
use proptest::prelude::*;

use crate::{
    Blame, Decision, Event, Lease, LeaseId, Millis, NodeFacts, NodeId, Policy, Priority, Swarm,
    Want,
};

const PIECE: u64 = 64 * 1024;

fn task(number: u32) -> TaskId {
    TaskId::of_url_fields([number.to_string().as_str()])
}

fn facts(upload_slots: u32, rack: &str) -> NodeFacts {
    NodeFacts {
        upload_slots,
        upload_bytes_per_s: None,
        zone: "z".into(),
        rack: rack.into(),
        can_serve: true,
    }
}

fn set(count: u32, run: Run) -> PieceSet {
    let mut set = PieceSet::none(count);
    set.insert_run(run);
    set
}

const fn run(first: u32, end: u32) -> Run {
    Run { first, end }
}

/// A swarm of one task of `count` pieces.
struct Small {
    swarm: Swarm,
    count: u32,
    now: Millis,
}

impl Small {
    fn new(count: u32) -> Self {
        Self::with(count, Policy::default())
    }

    fn with(count: u32, policy: Policy) -> Self {
        let mut small = Self { swarm: Swarm::new(policy, 7), count, now: 0 };
        let layout = Layout::told(u64::from(count) * PIECE, PIECE).unwrap();
        let known = Event::Task { task: task(0), layout };
        small.tell(known);
        small.join(0, 8, "cache");
        small
    }

    fn tell(&mut self, event: Event) {
        self.swarm.apply(event, self.now);
        self.swarm.audit();
    }

    fn join(&mut self, node: u64, slots: u32, rack: &str) {
        self.tell(Event::Joined { node: NodeId(node), facts: facts(slots, rack) });
    }

    fn has(&mut self, node: u64, pieces: Run) {
        self.tell(Event::Has {
            node: NodeId(node),
            task: task(0),
            pieces: set(self.count, pieces),
        });
    }

    fn wants(&mut self, node: u64, pieces: Run, priority: Priority) {
        let want = Want { task: task(0), run: pieces, reader_at: pieces.first, priority };
        let node = NodeId(node);
        self.tell(Event::Wants { node, want });
    }

    fn plan(&mut self) -> Vec<Decision> {
        let decisions = self.swarm.plan(self.now);
        self.swarm.audit();
        self.swarm.audit_plan();
        decisions
    }

    fn leases(&mut self) -> Vec<Lease> {
        let decisions = self.plan().into_iter();
        decisions
            .filter_map(|decision| match decision {
                Decision::Lease(lease) => Some(lease),
                _ => None,
            })
            .collect()
    }

    fn done(&mut self, lease: &Lease) {
        self.tell(Event::Done {
            lease: lease.id,
            pieces: set(self.count, lease.run),
            bytes: u64::from(lease.run.len()) * PIECE,
            millis: 10,
        });
    }

    fn failed(&mut self, lease: &Lease, blame: Blame) {
        self.tell(Event::Failed { lease: lease.id, got: PieceSet::none(self.count), blame });
    }
}

fn needs(decisions: &[Decision]) -> Vec<(Vec<u32>, Option<u32>, Priority)> {
    let needs = decisions.iter().filter_map(|decision| match decision {
        Decision::Need { pieces, urgent_first, priority, .. } => {
            Some((pieces.iter().collect(), *urgent_first, *priority))
        }
        _ => None,
    });
    needs.collect()
}

#[test]
fn one_receiver_gets_long_runs_in_order() {
    let mut small = Small::new(100);
    small.has(0, run(0, 100));
    small.join(1, 3, "a");
    small.wants(1, run(0, 100), Priority::Pull);
    let mut next = 0;
    while next < 100 {
        let leases = small.leases();
        assert!(!leases.is_empty());
        for lease in leases {
            assert_eq!(lease.run.first, next);
            assert!(lease.run.len() == 16 || lease.run.end == 100);
            next = lease.run.end;
            small.done(&lease);
        }
    }
    assert!(small.leases().is_empty());
    assert_eq!(small.swarm.tasks()[0].complete, 2);
}

#[test]
fn the_source_sends_every_piece_once_before_any_twice() {
    let policy = Policy { max_run_pieces: 1, min_horizon: 100, ..Policy::default() };
    let mut small = Small::with(8, policy);
    small.has(0, run(0, 8));
    for node in 1..=4 {
        small.join(node, 3, "a");
        small.wants(node, run(0, 8), Priority::Pull);
    }
    let mut pieces: Vec<_> = small.leases().iter().map(|lease| lease.run.first).collect();
    pieces.sort_unstable();
    assert_eq!(pieces, (0..8).collect::<Vec<_>>());
}

#[test]
fn what_nobody_holds_is_needed_once_from_where_the_reader_stands() {
    let mut small = Small::new(4);
    small.join(1, 3, "a");
    small.wants(1, run(1, 4), Priority::Pull);
    assert_eq!(needs(&small.plan()), [(vec![1, 2, 3], Some(1), Priority::Pull)]);
    assert_eq!(needs(&small.plan()), []);
    // What the cache gets is no news to the caller …
    small.has(0, run(1, 2));
    assert_eq!(needs(&small.plan()), []);
    // … what another node has is.
    small.join(2, 3, "a");
    small.has(2, run(2, 3));
    assert_eq!(needs(&small.plan()), [(vec![3], Some(3), Priority::Pull)]);
    // A more urgent reader changes where to begin and how urgent it is.
    small.join(3, 3, "a");
    small.wants(3, run(3, 4), Priority::Blocked);
    assert_eq!(needs(&small.plan()), [(vec![3], Some(3), Priority::Blocked)]);
    for node in [1, 3] {
        let (node, task) = (NodeId(node), task(0));
        small.tell(Event::Unwants { node, task });
    }
    assert_eq!(needs(&small.plan()), [(vec![], None, Priority::Preheat)]);
}

#[test]
fn a_blocked_read_overtakes_and_finds_a_slot_when_all_are_taken() {
    let mut small = Small::new(64);
    small.join(9, 1, "a");
    small.has(9, run(0, 64));
    small.join(1, 3, "a");
    small.wants(1, run(0, 64), Priority::Preheat);
    assert_eq!(small.leases().len(), 1);
    small.join(2, 3, "a");
    small.wants(2, run(40, 41), Priority::Blocked);
    let leases = small.leases();
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].node, leases[0].run.first), (NodeId(2), 40));
}

#[test]
fn higher_priorities_are_served_first() {
    let mut small = Small::new(64);
    small.join(9, 1, "a");
    small.has(9, run(0, 64));
    let order = [Priority::Preheat, Priority::Prefetch, Priority::Pull];
    for (node, priority) in (1..).zip(order) {
        small.join(node, 3, "a");
        small.wants(node, run(0, 4), priority);
    }
    let lease = small.leases()[0];
    assert_eq!(lease.node, NodeId(3));
}

#[test]
fn wrong_bytes_set_a_parent_aside_and_the_origin_is_needed_again() {
    let mut small = Small::new(4);
    small.join(9, 3, "a");
    small.has(9, run(0, 4));
    small.join(1, 3, "a");
    small.wants(1, run(0, 4), Priority::Pull);
    let lease = small.leases()[0];
    small.failed(&lease, Blame::Parent);
    let decisions = small.plan();
    assert!(decisions.contains(&Decision::SetAside { node: NodeId(9), task: task(0) }));
    assert_eq!(needs(&decisions)[0].0, [0, 1, 2, 3]);
    // It claims all again, and is not believed before its time is over.
    small.has(9, run(0, 4));
    assert!(small.leases().is_empty());
    small.now = small.swarm.next_timer().unwrap().max(600_000);
    assert_eq!(small.leases().len(), 1);
}

#[test]
fn one_receiver_cannot_silence_the_swarm() {
    let mut small = Small::new(64);
    for node in 2..12 {
        small.join(node, 3, "a");
        small.has(node, run(0, 64));
    }
    small.join(1, 3, "a");
    small.wants(1, run(0, 64), Priority::Pull);
    let mut aside = 0;
    for _ in 0..10 {
        for decision in small.plan() {
            match decision {
                Decision::SetAside { .. } => aside += 1,
                Decision::Lease(lease) => small.failed(&lease, Blame::Parent),
                _ => {}
            }
        }
    }
    assert_eq!(aside, 3);
}

#[test]
fn a_claim_that_proves_empty_is_dropped() {
    let mut small = Small::new(4);
    small.join(9, 3, "a");
    small.has(9, run(0, 4));
    small.join(1, 3, "a");
    small.wants(1, run(0, 4), Priority::Pull);
    let lease = small.leases()[0];
    small.failed(&lease, Blame::Missing);
    assert_eq!(needs(&small.plan())[0].0, lease.run.iter().collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_reaches_nobody_gets_it_through_the_cache() {
    let mut small = Small::new(4);
    small.join(9, 3, "a");
    small.has(9, run(0, 4));
    small.join(1, 3, "a");
    small.wants(1, run(0, 4), Priority::Pull);
    let lease = small.leases()[0];
    small.failed(&lease, Blame::Unreachable);
    assert_eq!(needs(&small.plan())[0].0, [0, 1, 2, 3]);
    small.has(0, run(0, 4));
    assert_eq!(small.leases()[0].parent, NodeId::CACHE);
}

#[test]
fn a_stalled_lease_is_asked_twice_and_the_loser_is_cancelled() {
    let mut small = Small::new(64);
    for node in [8, 9] {
        small.join(node, 1, "a");
        small.has(node, run(0, 64));
    }
    small.join(1, 3, "a");
    small.wants(1, run(0, 2), Priority::Pull);
    let first = small.leases()[0];
    small.now = small.swarm.next_timer().unwrap();
    assert!(small.now <= 1000);
    let second = small.leases()[0];
    assert_eq!(second.run, first.run);
    assert_ne!(second.parent, first.parent);
    small.done(&second);
    let cancel = Decision::Cancel { lease: first.id, node: NodeId(1) };
    assert_eq!(small.plan(), [cancel]);
    // What is said of it afterwards is ignored, and only the receiver may say it.
    assert_eq!(small.swarm.receiver_of(first.id), Some(NodeId(1)));
    small.done(&first);
    assert_eq!(small.swarm.receiver_of(first.id), None);
    assert_eq!(small.swarm.stats().hedged, 1);
}

/// A node that died unnoticed takes slots from others: ever more seldom, and until it speaks again.
#[test]
fn a_receiver_that_says_nothing_waits_ever_longer_and_one_that_speaks_does_not() {
    let mut small = Small::new(64);
    small.has(0, run(0, 64));
    small.join(1, 3, "a");
    small.wants(1, run(0, 64), Priority::Pull);
    let given = |small: &mut Small, until: Millis| {
        let mut leases = Vec::new();
        while small.now < until {
            leases.extend(small.leases());
            small.now = small.swarm.next_timer().map_or(until, |at| at.clamp(small.now + 1, until));
        }
        leases.len()
    };
    let early = given(&mut small, 5 * 60_000);
    let late = given(&mut small, 30 * 60_000) / 5;
    assert!(early > 8 && late * 3 < early, "{early} in five minutes, then {late}");
    while !small.leases().is_empty() {}
    small.has(1, run(0, 1));
    assert!(!small.leases().is_empty(), "it is there again, and gets what it wants");
}

#[test]
fn the_leases_of_a_node_that_left_are_given_to_others_at_once() {
    let mut small = Small::new(4);
    for node in [8, 9] {
        small.join(node, 3, "a");
        small.has(node, run(0, 4));
    }
    small.join(1, 3, "a");
    small.wants(1, run(0, 4), Priority::Pull);
    let lease = small.leases()[0];
    small.tell(Event::Left { node: lease.parent });
    let again = small.leases();
    assert!(again.iter().any(|other| other.run == lease.run && other.parent != lease.parent));
}

#[test]
fn the_nearest_of_equal_parents_is_taken() {
    let mut small = Small::new(4);
    for (node, rack) in [(5, "x"), (6, "b"), (7, "y")] {
        small.join(node, 3, rack);
        small.has(node, run(0, 4));
    }
    assert!(small.leases().is_empty());
    small.join(1, 3, "b");
    small.wants(1, run(0, 4), Priority::Pull);
    assert_eq!(small.leases()[0].parent, NodeId(6));
}

#[test]
fn a_want_may_come_before_its_task_and_is_bounded() {
    let policy = Policy { early_wants: 2, ..Policy::default() };
    let mut small = Small::with(4, policy);
    small.join(1, 3, "a");
    for number in 1..=3 {
        let want =
            Want { task: task(number), run: run(0, 9), reader_at: 0, priority: Priority::Pull };
        small.tell(Event::Wants { node: NodeId(1), want });
    }
    let layout = Layout::told(2 * PIECE, PIECE).unwrap();
    for number in 1..=3 {
        small.tell(Event::Task { task: task(number), layout });
    }
    assert_eq!(needs(&small.plan()).len(), 2);
}

#[test]
fn what_is_unknown_is_ignored() {
    let mut small = Small::new(4);
    let (node, lease) = (NodeId(77), LeaseId(1));
    small.wants(77, run(0, 4), Priority::Pull);
    small.has(77, run(0, 4));
    small.tell(Event::Left { node });
    small.tell(Event::Forget { task: task(9) });
    small.tell(Event::Unwants { node, task: task(9) });
    small.tell(Event::Failed { lease, got: PieceSet::all(99), blame: Blame::Parent });
    assert!(small.plan().is_empty());
    assert_eq!(small.swarm.receiver_of(lease), None);
    assert_eq!(small.swarm.next_timer(), None);
}

fn piece_sets() -> impl Strategy<Value = PieceSet> {
    // Also longer than the task, and empty.
    (0u32..90, 0u32..40).prop_map(|(first, len)| set(120, run(first, first + len)))
}

fn events() -> impl Strategy<Value = Event> {
    let node = || (0u64..7).prop_map(NodeId);
    let tasks = || (0u32..3).prop_map(task);
    let blames = prop_oneof![
        Just(Blame::Parent),
        Just(Blame::Missing),
        Just(Blame::Unreachable),
        Just(Blame::Busy),
        Just(Blame::Refused),
        Just(Blame::Timeout),
        Just(Blame::Receiver),
    ];
    let lease = || (0u64..40).prop_map(LeaseId);
    prop_oneof![
        3 => (node(), 0u32..4, "[ab]", any::<bool>()).prop_map(|(node, slots, rack, can_serve)| {
            Event::Joined { node, facts: NodeFacts { can_serve, ..facts(slots, &rack) } }
        }),
        1 => node().prop_map(|node| Event::Left { node }),
        3 => (tasks(), 1u64..80).prop_map(|(task, pieces)| {
            Event::Task { task, layout: Layout::told(pieces * PIECE, PIECE).unwrap() }
        }),
        1 => tasks().prop_map(|task| Event::Forget { task }),
        6 => (node(), tasks(), 0u32..90, 0u32..90, 0u32..90, 0usize..4).prop_map(
            |(node, task, first, end, reader_at, priority)| Event::Wants {
                node,
                want: Want { task, run: run(first, end), reader_at, priority: Priority::ALL[priority] },
            }),
        1 => (node(), tasks()).prop_map(|(node, task)| Event::Unwants { node, task }),
        5 => (node(), tasks(), piece_sets()).prop_map(|(node, task, pieces)| Event::Has { node, task, pieces }),
        2 => (node(), tasks(), piece_sets()).prop_map(|(node, task, pieces)| Event::Lost { node, task, pieces }),
        8 => (lease(), piece_sets(), 0u64..1_000_000, 0u64..1000).prop_map(
            |(lease, pieces, bytes, millis)| Event::Done { lease, pieces, bytes, millis }),
        5 => (lease(), piece_sets(), blames).prop_map(|(lease, got, blame)| Event::Failed { lease, got, blame }),
    ]
}

/// Lease numbers as the generator has them, counted from the swarm's first.
fn real(event: Event, first: u64) -> Event {
    let shifted = |lease: LeaseId| LeaseId(first + lease.0);
    match event {
        Event::Done { lease, pieces, bytes, millis } => {
            Event::Done { lease: shifted(lease), pieces, bytes, millis }
        }
        Event::Failed { lease, got, blame } => Event::Failed { lease: shifted(lease), got, blame },
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is said, twice and in any order: the counts hold, and after a plan nobody who could
    /// be served waits.
    #[test]
    fn the_counts_hold_under_any_events(
        steps in prop::collection::vec((events(), 0u64..2000, any::<bool>()), 1..120)
    ) {
        // A window and slots that these small tasks feel.
        let policy = Policy { window: 16, max_run_pieces: 5, ..Policy::default() };
        let mut swarm = Swarm::new(policy, 3);
        let first = swarm.next_lease;
        let mut now = 0;
        for (event, pause, planned) in steps {
            now += pause;
            swarm.apply(real(event, first), now);
            swarm.audit();
            if planned {
                swarm.plan(now);
                swarm.audit();
                swarm.audit_plan();
                prop_assert!(swarm.next_timer().is_none_or(|at| at > now));
            }
        }
    }
}
