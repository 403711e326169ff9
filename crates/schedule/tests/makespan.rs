//! How close the schedule comes to what is possible: the time until the last node has the last
//! piece, over the bounds of `docs/scheduling.md`. `--nocapture` prints the figures. Everything here
//! is simulated and repeatable; `examples/simulate.rs` has the large swarms.

mod support;

use schedule::NodeId;
use support::calendar::Micros;
use support::report::Score;
use support::setup::Setup;
use support::sim::Sim;

const MIB: u64 = 1 << 20;

/// Lets everybody want everything, and compares the makespan with the bound.
fn measure(name: &str, sim: &mut Sim, bound: Micros) -> Score {
    let score = Score::of(sim, bound);
    println!("{name:<36} {score}");
    score
}

/// The worst makespan over B_disc of four seeds in the round model.
fn rounds(nodes: u64, pieces: u32) -> f64 {
    let scores = (0..4).map(|seed| {
        let setup = Setup::rounds(nodes, pieces, seed);
        let bound = setup.b_disc();
        measure(&format!("rounds N={nodes} P={pieces}"), &mut Sim::new(setup), bound).ratio
    });
    scores.fold(0.0, f64::max)
}

#[test]
fn rounds_of_255_nodes_come_close_to_the_bound() {
    assert!(rounds(255, 64) <= 1.10);
}

#[test]
fn rounds_of_few_pieces_come_close_to_the_bound() {
    assert!(rounds(200, 4) <= 1.10);
    assert!(rounds(200, 16) <= 1.10);
}

#[test]
#[cfg(feature = "soak")]
fn rounds_of_1000_nodes_come_close_to_the_bound() {
    for pieces in [4, 16, 64, 256] {
        assert!(rounds(1000, pieces) <= 1.10);
    }
}

#[test]
#[cfg(feature = "soak")]
fn ten_thousand_nodes() {
    let setup = Setup { cached: false, ..links(1000, 10_000, 16 * MIB) };
    let bound = setup.bound();
    let score = measure("10000 nodes, 16 MiB", &mut Sim::new(setup), bound);
    assert!(score.ratio <= 2.0);
    assert!(score.origin_copies <= 1.0);
}

fn links(mbit_per_s: u64, nodes: u64, length: u64) -> Setup {
    Setup::links(mbit_per_s, nodes, length, 1)
}

#[test]
fn eight_nodes_on_slow_links() {
    let setup = links(100, 8, 64 * MIB);
    let bound = setup.bound();
    assert!(measure("8 nodes, 100 Mbit/s", &mut Sim::new(setup), bound).ratio <= 1.10);
}

#[test]
fn a_hundred_nodes_on_fast_links() {
    let setup = links(1000, 100, 64 * MIB);
    let bound = setup.bound();
    assert!(measure("100 nodes, 1 Gbit/s", &mut Sim::new(setup), bound).ratio <= 1.20);
}

/// The pieces come from the origin no faster than the cache could send them on: they are sent on
/// while the rest still comes, and the origin gives one copy.
#[test]
fn what_comes_from_the_origin_is_sent_on_at_once() {
    for nodes in [8, 100] {
        let setup = Setup { cached: false, ..links(1000, nodes, 64 * MIB) };
        let bound = setup.bound();
        let name = format!("{nodes} nodes, from the origin");
        let score = measure(&name, &mut Sim::new(setup), bound);
        assert!(score.ratio <= 1.20);
        assert!(score.origin_copies <= 1.0);
    }
}

#[test]
fn a_small_blob_is_doubled_like_a_rumour() {
    let setup = links(1000, 100, 2 * MIB);
    let bound = setup.bound();
    assert!(measure("100 nodes, 2 MiB", &mut Sim::new(setup), bound).ratio <= 2.2);
}

/// A source with ten times the nodes' rate.
#[test]
fn a_strong_source_is_used() {
    let mut setup = links(1000, 100, 64 * MIB);
    setup.cache.up *= 10;
    setup.cache.down *= 10;
    let bound = setup.bound();
    assert!(measure("a source of 10 Gbit/s", &mut Sim::new(setup), bound).ratio <= 1.10);
}

/// Five in a hundred nodes send at a tenth of the others' rate, and nobody says so.
#[test]
fn stragglers_hold_up_nobody() {
    let setup = links(1000, 100, 64 * MIB);
    let slow: Vec<_> = (20..=setup.nodes).step_by(20).collect();
    let bound = setup.b_disc().max(setup.b_fluid_with(slow.len() as u64, 10));
    let mut sim = Sim::new(setup);
    for node in slow {
        sim.slow_down(NodeId(node), 10);
    }
    let score = measure("5 % at a tenth of the rate", &mut sim, bound);
    assert!(score.ratio <= 1.35);
    assert!(score.twice <= 0.05, "{} in vain", score.twice);
}

/// One in ten nodes dies when half is done; the scheduler learns of it a quarter of a second later.
#[test]
fn deaths_are_made_good() {
    let setup = links(1000, 100, 64 * MIB);
    let bound = setup.bound();
    let mut sim = Sim::new(setup);
    sim.all_want();
    sim.run(Micros::MAX / 2, |sim| sim.progress() >= 500);
    for node in (10..=sim.setup.nodes).step_by(10) {
        sim.kill(NodeId(node), Some(250_000));
    }
    assert!(measure("10 % die at half", &mut sim, bound).ratio <= 1.30);
}

#[test]
fn near_parents_are_preferred() {
    let setup = Setup { racks: 10, ..links(1000, 100, 64 * MIB) };
    let bound = setup.bound();
    let mut sim = Sim::new(setup);
    let score = measure("ten racks", &mut sim, bound);
    assert!(score.ratio <= 1.20);
    // Blind choice would fetch nine of ten pieces from other racks.
    assert!(score.far <= 0.75);
}

#[test]
fn one_receiver_takes_few_long_leases() {
    let setup = links(1000, 1, 64 * MIB);
    let bound = setup.bound();
    let mut sim = Sim::new(setup);
    assert!(measure("one receiver", &mut sim, bound).ratio <= 1.03);
    assert!(sim.costs.leases <= 32);
}
