//! A swarm to be simulated, and what is the least that it can take.

use schedule::Policy;

use super::calendar::Micros;
use super::net::{Bytes, micros};

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

/// A link, in bytes per second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub up: Bytes,
    pub down: Bytes,
}

impl Rates {
    pub const fn both(rate: Bytes) -> Self {
        Self { up: rate, down: rate }
    }
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub nodes: u64,
    pub pieces: u32,
    pub piece_size: Bytes,
    pub policy: Policy,
    pub node: Rates,
    /// The cache's; what it receives comes from the origin.
    pub cache: Rates,
    /// The upload slots that the cache and the nodes name; 0 for none.
    pub cache_slots: u32,
    pub node_slots: u32,
    /// Half a round trip, between any two.
    pub delay: Micros,
    /// The supernode plans no more often than this.
    pub tick: Micros,
    pub block: Bytes,
    /// Whether nodes tell each piece as it lands, or only the end of a lease.
    pub tells_pieces: bool,
    /// Whether the cache has it all, or the origin has to be asked.
    pub cached: bool,
    pub racks: u64,
    pub faults: Faults,
    pub checked: bool,
}

const ROUND: Micros = 100_000;
const KIB: Bytes = 1 << 10;

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
            piece_size: 64 * KIB,
            policy,
            node: Rates::both(64 * KIB * 1_000_000 / ROUND),
            cache: Rates::both(64 * KIB * 1_000_000 / ROUND),
            cache_slots: 1,
            node_slots: 1,
            delay: 0,
            tick: 0,
            block: 64 * KIB,
            tells_pieces: false,
            cached: true,
            racks: 1,
            faults: Faults::default(),
            checked: false,
        }
    }

    /// Links of so many bits per second everywhere, a round trip of a millisecond, and what our
    /// programs say and do by default.
    pub fn links(mbit_per_s: u64, nodes: u64, length: Bytes, seed: u64) -> Self {
        let layout = content::Layout::for_length(length).unwrap();
        let rate = Rates::both(mbit_per_s * 1_000_000 / 8);
        Self {
            pieces: layout.pieces(),
            piece_size: layout.piece_size().bytes(),
            policy: Policy::default(),
            node: rate,
            cache: rate,
            // As the programs say by default.
            cache_slots: 64,
            node_slots: 32,
            delay: 500,
            tick: 1000,
            tells_pieces: true,
            ..Self::rounds(nodes, 1, seed)
        }
    }

    pub fn length(&self) -> Bytes {
        u64::from(self.pieces) * self.piece_size
    }

    /// B_fluid: `max(S/U, S/d, N·S/(U + Σu))`, where `slow` of the nodes send `factor` times
    /// slower; from the origin, also what the cache's own downlink takes.
    pub fn b_fluid_with(&self, slow: u64, factor: u64) -> Micros {
        let ups = (self.nodes - slow) * self.node.up + slow * self.node.up / factor;
        let from_origin = if self.cached { 0 } else { micros(self.length(), self.cache.down) };
        micros(self.length(), self.cache.up)
            .max(micros(self.length(), self.node.down))
            .max(micros(self.nodes * self.length(), self.cache.up + ups))
            .max(from_origin)
    }

    pub fn b_fluid(&self) -> Micros {
        self.b_fluid_with(0, 1)
    }

    /// B_disc, for pieces that are passed on only when they are whole: exact for nodes with equal
    /// up and down rates and a source of at least that rate, and a lower bound else.
    pub fn b_disc(&self) -> Micros {
        let slots = (self.cache.up / self.node.up).max(1);
        // With one slot, the bound holds however fast nodes receive.
        let rate = if slots == 1 { self.node.up } else { self.node.up.max(self.node.down) };
        let pieces = u64::from(self.pieces);
        let last_in = pieces - 1 + ceil_log2(self.nodes.div_ceil(slots) + 1);
        let last_out = pieces.div_ceil(slots) - 1 + ceil_log2(self.nodes + 1);
        micros(self.piece_size, rate) * last_in.max(last_out)
    }

    /// The greater of both.
    pub fn bound(&self) -> Micros {
        self.b_fluid().max(self.b_disc())
    }
}

fn ceil_log2(n: u64) -> u64 {
    u64::from(n.next_power_of_two().ilog2())
}
