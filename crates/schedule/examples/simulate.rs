//! Large swarms, simulated: how close the schedule comes to what is possible, and what it costs.
//!
//! `cargo run --release -p meganeura-schedule --example simulate -- [NODES …]`; `make soak` adds
//! ten thousand nodes. The scheduler is the one that the supernode runs.

#[path = "../tests/support/mod.rs"]
mod support;

use support::report::{Score, over};
use support::setup::Setup;
use support::sim::Sim;

const MIB: u64 = 1 << 20;

fn main() {
    let told: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if told.is_empty() { vec![8, 100, 1000] } else { told };
    println!(
        "{:<44} {:>7} {:>8} {:>8} {:>7} {:>7} {:>6} {:>10} {:>9}",
        "", "T (s)", "T/fluid", "T/disc", "origin", "cache", "twice", "leases/s", "us/piece"
    );
    for nodes in sizes {
        for (name, setup) in cases(nodes) {
            show(&format!("N={nodes} {name}"), setup);
        }
    }
}

fn cases(nodes: u64) -> Vec<(&'static str, Setup)> {
    let links = |mbit, length| Setup::links(mbit, nodes, length, 1);
    let wan = |mut setup: Setup| {
        setup.delay = 10_000;
        setup
    };
    let strong = |mut setup: Setup| {
        setup.cache.up *= 10;
        setup.cache.down *= 10;
        setup
    };
    let cold = |setup: Setup| Setup { cached: false, ..setup };
    let mut cases = vec![
        ("100 Mbit/s, 64 MiB, cold", cold(links(100, 64 * MIB))),
        ("1 Gbit/s, 4 MiB, cold", cold(links(1000, 4 * MIB))),
        ("1 Gbit/s, 16 MiB, cold", cold(links(1000, 16 * MIB))),
    ];
    if nodes <= 1000 {
        cases.extend([
            ("1 Gbit/s, 64 MiB", links(1000, 64 * MIB)),
            ("1 Gbit/s, 64 MiB, cold", cold(links(1000, 64 * MIB))),
            ("1 Gbit/s, 64 MiB, cold, 20 ms apart", wan(cold(links(1000, 64 * MIB)))),
            ("1 Gbit/s, 64 MiB, source 10 Gbit/s", strong(links(1000, 64 * MIB))),
            ("10 Gbit/s, 64 MiB, cold", cold(links(10_000, 64 * MIB))),
        ]);
    }
    if nodes <= 100 {
        cases.push(("1 Gbit/s, 512 MiB, cold", cold(links(1000, 512 * MIB))));
    }
    cases
}

fn show(name: &str, setup: Setup) {
    let (fluid, disc) = (setup.b_fluid(), setup.b_disc());
    let mut sim = Sim::new(setup);
    let score = Score::of(&mut sim, fluid.max(disc));
    println!(
        "{name:<44} {:>7.2} {:>8.3} {:>8.3} {:>7.2} {:>7.2} {:>5.1}% {:>10.0} {:>9.1}",
        over(score.makespan, 1_000_000),
        over(score.makespan, fluid),
        over(score.makespan, disc),
        score.origin_copies,
        score.cache_copies,
        100.0 * score.twice,
        score.leases_per_s,
        1e6 * score.cpu_per_piece.as_secs_f64(),
    );
}
