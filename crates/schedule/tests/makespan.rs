//! How close the schedule comes to what is possible: the time until the last node has the last
//! piece, over the bounds of `docs/scheduling.md`. `--nocapture` prints the figures; the large
//! swarms are left to optimised builds (`--release`).

mod support;

use schedule::NodeId;
use support::sim::{Micros, Setup, Sim, b_disc, b_fluid};

/// Optimised, or these take minutes.
const LARGE: bool = !cfg!(debug_assertions);
const MIB: u64 = 1 << 20;

#[expect(clippy::cast_precision_loss, reason = "figures to be printed")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

/// Lets everybody want everything, and returns the makespan over the bound.
fn measure(name: &str, sim: &mut Sim, bound: Micros) -> f64 {
    sim.all_want();
    let makespan = sim.finish();
    let score = ratio(makespan, bound);
    report(name, sim, score);
    score
}

fn report(name: &str, sim: &Sim, score: f64) {
    let stats = sim.swarm.stats();
    let planning = u64::try_from(sim.plan_time.as_micros()).unwrap_or(u64::MAX);
    println!(
        "{name:<32} T/B {score:.3}   source {:.2} x S   asked twice {:.2} %   other rack {:.2}   \
         {:>6} leases, {:>6.0} decisions/s",
        ratio(sim.source_pieces, u64::from(sim.setup.pieces)),
        100.0 * ratio(stats.twice, sim.sent_pieces),
        ratio(sim.far_pieces, sim.sent_pieces),
        stats.leases,
        1e6 * ratio(stats.leases, planning),
    );
}

/// The median of the makespan over B_disc in the round model.
fn rounds(nodes: u64, pieces: u32) -> f64 {
    let mut scores: Vec<_> = (0..8)
        .map(|seed| {
            let setup = Setup::rounds(nodes, pieces, seed);
            let bound = b_disc(&setup);
            let name = format!("rounds N={nodes} P={pieces} seed {seed}");
            measure(&name, &mut Sim::new(setup), bound)
        })
        .collect();
    scores.sort_unstable_by(f64::total_cmp);
    println!("median of N={nodes} P={pieces}: {:.3}", scores[4]);
    scores[7]
}

#[test]
fn rounds_of_255_nodes_come_close_to_the_bound() {
    assert!(rounds(255, 64) <= 1.10);
}

#[test]
fn rounds_of_1000_nodes_come_close_to_the_bound() {
    assert!(rounds(1000, 4) <= 1.15);
    if LARGE {
        for pieces in [16, 64, 256] {
            assert!(rounds(1000, pieces) <= 1.10);
        }
    }
}

fn gigabit() -> Setup {
    let nodes = if LARGE { 1000 } else { 150 };
    Setup::gigabit(nodes, 256, MIB / 4, 1)
}

#[test]
fn real_links_with_round_trips_come_close_too() {
    let setup = gigabit();
    let bound = b_disc(&setup);
    assert!(measure("1 Gbit/s, 64 MiB", &mut Sim::new(setup), bound) <= 1.10);
}

#[test]
fn few_large_pieces_cost_more() {
    let setup = Setup::gigabit(150, 64, MIB, 1);
    let bound = b_disc(&setup);
    assert!(measure("1 Gbit/s, 64 x 1 MiB", &mut Sim::new(setup), bound) <= 1.15);
}

/// Five in a hundred nodes send at a tenth of the others' rate, and nobody says so.
#[test]
fn stragglers_hold_up_nobody() {
    let setup = gigabit();
    let slow: Vec<_> = (20..=setup.nodes).step_by(20).collect();
    let bound = b_disc(&setup).max(b_fluid(&setup, slow.len() as u64, 10));
    let mut sim = Sim::new(setup);
    for node in slow {
        sim.slow_down(NodeId(node), 10);
    }
    assert!(measure("5 % at a tenth of the rate", &mut sim, bound) <= 1.15);
    assert!(sim.swarm.stats().twice * 20 <= sim.sent_pieces, "over 5 % in vain");
}

/// One in ten nodes dies when half is done; the scheduler learns of it a quarter of a second later.
#[test]
fn deaths_are_made_good() {
    let setup = gigabit();
    let bound = b_disc(&setup);
    let mut sim = Sim::new(setup);
    sim.all_want();
    sim.run(Micros::MAX / 2, |sim| sim.progress() >= 500);
    for node in (10..=sim.setup.nodes).step_by(10) {
        sim.kill(NodeId(node), Some(250_000));
    }
    let score = ratio(sim.finish(), bound);
    report("10 % die at half", &sim, score);
    assert!(score <= 1.25);
}

#[test]
fn near_parents_are_preferred() {
    let mut setup = gigabit();
    setup.racks = 10;
    let bound = b_disc(&setup);
    let mut sim = Sim::new(setup);
    assert!(measure("ten racks", &mut sim, bound) <= 1.10);
    // Blind choice would fetch nine of ten pieces from other racks.
    assert!(sim.far_pieces * 100 < sim.sent_pieces * 75);
}

#[test]
fn one_receiver_takes_few_long_leases() {
    let setup = Setup::gigabit(1, 256, MIB / 4, 1);
    let bound = b_disc(&setup);
    let mut sim = Sim::new(setup);
    assert!(measure("one receiver", &mut sim, bound) <= 1.02);
    assert_eq!(sim.leases, 16);
}

/// The whole pull of 10 000 nodes: how much the scheduler alone costs.
#[test]
fn ten_thousand_nodes() {
    if LARGE {
        let setup = Setup::gigabit(10_000, 64, MIB / 4, 1);
        let bound = b_disc(&setup);
        assert!(measure("N=10000, 16 MiB", &mut Sim::new(setup), bound) <= 1.25);
    }
}
