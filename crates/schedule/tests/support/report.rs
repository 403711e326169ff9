//! What a simulated run comes to.

use std::fmt;
use std::time::Duration;

use super::calendar::Micros;
use super::sim::Sim;

#[derive(Clone, Copy, Debug)]
pub struct Score {
    pub makespan: Micros,
    /// The makespan over the bound.
    pub ratio: f64,
    /// What the origin sent, in copies of the task.
    pub origin_copies: f64,
    /// What the cache sent, in copies of the task.
    pub cache_copies: f64,
    /// The share of pieces that were asked for twice.
    pub twice: f64,
    /// The share of pieces that came from another rack.
    pub far: f64,
    pub leases_per_s: f64,
    /// The scheduler's CPU time, events and plans, per piece that came.
    pub cpu_per_piece: Duration,
}

impl Score {
    /// Lets everybody want everything, to the end.
    pub fn of(sim: &mut Sim, bound: Micros) -> Self {
        sim.all_want();
        let makespan = sim.finish();
        let costs = sim.costs;
        let pieces = u64::from(sim.setup.pieces);
        let cpu = costs.planning + costs.applying;
        Self {
            makespan,
            ratio: over(makespan, bound),
            origin_copies: over(costs.from_origin, pieces),
            cache_copies: over(costs.from_cache, pieces),
            twice: over(sim.swarm.stats().twice, costs.pieces),
            far: over(costs.far, costs.pieces),
            leases_per_s: over(costs.leases, 1_000_000) / cpu.as_secs_f64() * 1e6,
            cpu_per_piece: cpu / u32::try_from(costs.pieces.max(1)).unwrap_or(u32::MAX),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "T/B {:.3}  origin {:.2} x S  cache {:.2} x S  asked twice {:.2} %  other rack {:.2}  \
             {:>7.0} leases/s  {:>5.1} us CPU/piece",
            self.ratio,
            self.origin_copies,
            self.cache_copies,
            100.0 * self.twice,
            self.far,
            self.leases_per_s,
            1e6 * self.cpu_per_piece.as_secs_f64(),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to be printed")]
pub fn over(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}
