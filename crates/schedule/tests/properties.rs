//! Every pull ends, whatever goes wrong on the way, and no decision breaks an invariant.

mod support;

use content::Run;
use proptest::prelude::*;
use schedule::{NodeId, Policy, Priority};
use support::setup::{Faults, Rates, Setup};
use support::sim::Sim;

fn setups() -> impl Strategy<Value = Setup> {
    let shape = (1u64..14, 1u32..90, 0u32..4, 0u32..6, any::<bool>(), any::<bool>());
    let faults = (0u64..60, 0u64..60, 0u64..60, 0u64..30, 0u64..60, 0u64..300);
    (any::<u64>(), shape, faults, any::<bool>()).prop_map(|(seed, shape, faults, calm)| {
        let (nodes, pieces, node_slots, cache_slots, tells_pieces, cached) = shape;
        let (wrong_bytes, unreachable, busy, receiver, stall, duplicate) = faults;
        let faults = Faults { wrong_bytes, unreachable, busy, receiver, stall, duplicate };
        let calmly = Faults { duplicate, ..Faults::default() };
        Setup {
            node_slots,
            cache_slots,
            tells_pieces,
            cached,
            checked: true,
            faults: if calm { calmly } else { faults },
            ..Setup::links(1000, nodes, u64::from(pieces) * 64 * 1024, seed)
        }
    })
}

/// An hour of simulated time: many times what the slowest of these pulls takes.
const LIMIT: u64 = 3_600_000_000;

/// Sends in every way: joins, liars, deaths with and without notice, wants of all priorities.
fn play(mut sim: Sim) {
    let pieces = sim.setup.pieces;
    let calm = sim.setup.faults.wrong_bytes == 0;
    for node in 1..=sim.setup.nodes {
        let priority = Priority::ALL[usize::try_from(sim.rng.below(4)).expect("below four")];
        sim.want(NodeId(node), Run { first: 0, end: pieces }, priority);
    }
    if calm {
        sim.run(LIMIT, |_| false);
        return;
    }
    for step in 1..4 {
        sim.run(LIMIT, |sim| sim.progress() >= step * 200);
        let node = NodeId(1 + sim.rng.below(sim.setup.nodes));
        let newcomer = NodeId(1000 + step);
        match sim.rng.below(4) {
            0 => sim.kill(node, Some(50_000)),
            1 => sim.kill(node, None),
            2 => {
                sim.join(newcomer, Rates::both(50_000_000), 3);
                sim.lies(newcomer);
            }
            _ => {
                sim.join(newcomer, Rates::both(50_000_000), 3);
                sim.want(newcomer, Run { first: 0, end: pieces }, Priority::Pull);
            }
        }
    }
    sim.run(LIMIT, |_| false);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(feature = "soak") { 10_000 } else { 200 }, ..ProptestConfig::default() })]

    #[test]
    fn every_pull_ends(setup in setups()) {
        play(Sim::new(setup));
    }

    /// With the same seed and events, the same decisions.
    #[test]
    fn a_run_can_be_repeated(setup in setups()) {
        let once = || {
            let mut sim = Sim::new(setup.clone());
            sim.all_want();
            let end = sim.run(LIMIT, |_| false);
            (end, sim.costs.leases, sim.costs.pieces, sim.swarm.stats())
        };
        prop_assert_eq!(once(), once());
    }
}

#[test]
fn the_source_sends_each_piece_once_while_nothing_fails() {
    let policy = Policy { leases_per_receiver: 2, ..Policy::default() };
    let setup = Setup { policy, checked: true, ..Setup::links(1000, 30, 60 * 64 * 1024, 5) };
    let mut sim = Sim::new(setup);
    sim.all_want();
    sim.finish();
    assert!(sim.checker.calm);
}
