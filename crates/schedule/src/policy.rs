//! The numbers that the scheduler is tuned by.

use crate::event::Millis;

/// The numbers that the scheduler is tuned by. The defaults are argued in `docs/scheduling.md`.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// Leases that one receiver has in flight, over all tasks.
    pub leases_per_receiver: u32,
    /// Leases and upload slots that a blocked read may take beyond the limits.
    pub blocked_extra: u32,
    /// An uplink is given work for so many times the time that a lease takes which need not wait
    /// for others …
    pub ahead: f64,
    /// … for so long at least …
    pub min_horizon: Millis,
    /// … and at most.
    pub max_horizon: Millis,
    /// Bytes per millisecond of an uplink, as long as nothing was learned.
    pub assumed_uplink: f64,
    /// A receiver to whom nothing was under way for so long may overload a parent: it might be able
    /// to send more than it showed.
    pub patience: Millis,
    /// How many pieces a lease has at most.
    pub max_run_pieces: u32,
    /// How many bytes a lease has at most, if it has more than one piece.
    pub max_run_bytes: u64,
    /// How many pieces ahead of the reader are fetched by rarity.
    pub window: u32,
    /// How many pieces at a blocked reader come before all rarity.
    pub urgent_pieces: u32,
    /// Upload slots of a node that names none.
    pub upload_slots: u32,
    /// Upload slots of the cache, if it names none.
    pub cache_upload_slots: u32,
    /// Bytes per millisecond and lease, as long as nothing was learned.
    pub assumed_rate: f64,
    /// A lease is asked twice when it takes this many times longer than expected …
    pub stall_factor: f64,
    /// … and at least this long.
    pub min_stall: Millis,
    /// The same for a receiver that has nothing else left to ask for, or that is blocked: against
    /// what a lease usually takes in this swarm, not with this parent.
    pub endgame_factor: f64,
    /// At least this long, there.
    pub min_endgame: Millis,
    /// A lease of which nothing was heard for this long is over.
    pub silence: Millis,
    /// How long a parent is not used for a task after wrong bytes.
    pub set_aside: Millis,
    /// How long a parent is not used for one receiver after it failed it.
    pub avoid: Millis,
    /// How long the cache is not used for one receiver after it failed it: it is the last resort.
    pub avoid_cache: Millis,
    /// How long a parent that was busy gets nothing.
    pub busy: Millis,
    /// How long a receiver that could not receive, or a parent that several could not reach, rests.
    pub rest: Millis,
    /// How many parents one receiver can have set aside for a task for all others. Beyond that it
    /// is believed for itself only.
    pub accusations: u8,
    /// How many candidates that fit are looked at before the best is taken.
    pub scan: usize,
    /// How many tasks a node may want before they are known.
    pub early_wants: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            leases_per_receiver: 32,
            blocked_extra: 1,
            ahead: 2.0,
            min_horizon: 5,
            max_horizon: 300,
            assumed_uplink: 65_536.0,
            patience: 200,
            max_run_pieces: 16,
            max_run_bytes: 4 << 20,
            window: 256,
            urgent_pieces: 4,
            upload_slots: 32,
            cache_upload_slots: 64,
            assumed_rate: 16_384.0,
            stall_factor: 2.0,
            min_stall: 1000,
            endgame_factor: 1.5,
            min_endgame: 20,
            silence: 15_000,
            set_aside: 600_000,
            avoid: 10_000,
            avoid_cache: 1000,
            busy: 100,
            rest: 2000,
            accusations: 3,
            scan: 6,
            early_wants: 256,
        }
    }
}
