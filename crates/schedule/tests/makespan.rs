//! How close the schedule comes to what is possible: the time until the last node has the last
//! piece, over the bounds of `docs/scheduling.md`. `--nocapture` prints the figures.

mod support;

use support::sim::{Setup, Sim, b_disc};

struct Score {
    ratio: f64,
    waste: f64,
}

fn measure(name: &str, sim: &mut Sim, bound: u64) -> Score {
    let begun = std::time::Instant::now();
    sim.all_want();
    let makespan = sim.to_completion();
    let ratio = makespan as f64 / bound as f64;
    let living = u64::from(sim.setup.pieces) * sim.setup.nodes;
    let waste = sim.sent_pieces as f64 / living as f64 - 1.0;
    let rate = sim.leases as f64 / sim.plan_time.as_secs_f64();
    println!(
        "{name:<34} T/B {ratio:.3}  leases {:>7}  source {:.2} x S  waste {:>5.2} %  far {:.2}  \
         {:.0} decisions/s planning, {:.1} s in all  {:?}",
        sim.leases,
        sim.source_pieces as f64 / f64::from(sim.setup.pieces),
        waste * 100.0,
        sim.far_pieces as f64 / sim.sent_pieces as f64,
        rate,
        begun.elapsed().as_secs_f64(),
        sim.swarm.stats(),
    );
    Score { ratio, waste }
}

fn rounds(nodes: u64, pieces: u32, seed: u64) -> Score {
    let setup = Setup::rounds(nodes, pieces, seed);
    let bound = b_disc(&setup);
    let name = format!("rounds N={nodes} P={pieces} seed {seed}");
    measure(&name, &mut Sim::new(setup), bound)
}

#[test]
fn rounds_of_255_nodes() {
    for seed in 0..4 {
        assert!(rounds(255, 64, seed).ratio <= 1.15);
    }
}

#[test]
fn rounds_of_1000_nodes() {
    for pieces in [4, 16, 64, 256] {
        let score = rounds(1000, pieces, 1);
        let _ = score.ratio;
    }
}

#[test]
fn gigabit_links() {
    let setup = Setup::gigabit(1000, 256, 256 * 1024, 1);
    let bound = b_disc(&setup);
    let score = measure("1 Gbit/s N=1000 P=256", &mut Sim::new(setup), bound);
    assert!(score.ratio <= 1.5 && score.waste < 0.05);
}

/// Five in a hundred nodes send at a tenth of the others' rate, and nobody says so.
#[test]
fn stragglers() {
    let setup = Setup::gigabit(300, 256, 256 * 1024, 1);
    let bound = b_disc(&setup);
    let mut sim = Sim::new(setup);
    for node in (20..=300).step_by(20) {
        sim.slow_down(schedule::NodeId(node), 10);
    }
    let score = measure("5 % stragglers at 1/10", &mut sim, bound);
    assert!(score.ratio <= 1.5 && score.waste < 0.05);
}

/// One in ten nodes dies when half is done; the scheduler learns of it a quarter of a second later.
#[test]
fn deaths() {
    let setup = Setup::gigabit(300, 256, 256 * 1024, 1);
    let bound = b_disc(&setup);
    let mut sim = Sim::new(setup);
    sim.all_want();
    sim.run(u64::MAX / 2, |sim| sim.progress() >= 500);
    for node in (10..=300).step_by(10) {
        sim.kill(schedule::NodeId(node), Some(250_000));
    }
    let makespan = sim.to_completion();
    println!(
        "10 % die at half: T/B {:.3} {:?}",
        makespan as f64 / bound as f64,
        sim.swarm.stats()
    );
}

#[test]
fn racks() {
    let mut setup = Setup::gigabit(300, 256, 256 * 1024, 1);
    setup.racks = 10;
    let bound = b_disc(&setup);
    measure("ten racks", &mut Sim::new(setup), bound);
}

#[test]
fn one_receiver() {
    let setup = Setup::gigabit(1, 256, 256 * 1024, 1);
    let bound = b_disc(&setup);
    measure("one receiver", &mut Sim::new(setup), bound);
}
