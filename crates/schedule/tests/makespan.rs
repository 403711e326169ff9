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

#[test]
fn trace() {
    let setup = Setup::rounds(1000, 16, 1);
    let mut sim = Sim::new(setup);
    sim.all_want();
    let mut last = 0;
    sim.run(u64::MAX / 2, |sim| {
        let busy = sim.leases - last;
        last = sim.leases;
        let t = &sim.swarm.tasks()[0];
        println!(
            "{:>6} leases {busy:>5} complete {} partial {} recv {} rarest {} src {}",
            sim.now / 100_000,
            t.complete,
            t.partial,
            t.receivers,
            t.rarest,
            sim.source_pieces
        );
        false
    });
}

#[test]
fn explore() {
    for (size, pieces, tells, nodes) in [
        (256 * 1024, 256, true, 300),
        (1 << 20, 64, true, 300),
        (1 << 20, 4096, true, 60),
        (1 << 20, 4096, false, 60),
    ] {
        for cslots in [4, 16] {
            let mut setup = Setup::gigabit(nodes, pieces, size, 1);
            setup.cache_slots = cslots;
            setup.tells_pieces = tells;
            let bound = b_disc(&setup);
            measure(
                &format!("{pieces} cache {cslots} tells {tells}"),
                &mut Sim::new(setup),
                bound,
            );
        }
    }
}
