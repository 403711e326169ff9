//! A node's part in a task.

use content::{PieceIndex, Run};

use crate::bits::{Bits, Held};
use crate::event::{Millis, Priority};
use crate::node::NodeKey;

/// A receiver's place among those that could take a lease now: the most urgent first, then the
/// neediest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Hunger {
    pub(crate) priority: Priority,
    /// Counts down from the pieces that it has not asked for yet.
    pub(crate) need: std::cmp::Reverse<u32>,
    pub(crate) node: NodeKey,
}

/// What a node wants of a task, and how far it is.
pub(crate) struct Pull {
    pub(crate) run: Run,
    pub(crate) reader_at: PieceIndex,
    pub(crate) priority: Priority,
    /// Wanted, not held and not asked for.
    pub(crate) open: Bits,
    pub(crate) open_count: u32,
    /// In a lease, and not held yet.
    pub(crate) asked: Bits,
    /// Wanted and not held.
    pub(crate) missing: u32,
    /// Where open pieces are chosen from.
    pub(crate) window: Run,
    /// Its entry in [`Task::hungry`].
    pub(crate) hunger: Option<Hunger>,
}

/// A node that holds or wants something of a task.
pub(crate) struct Member {
    pub(crate) held: Held,
    pub(crate) held_count: u32,
    pub(crate) is_cache: bool,
    pub(crate) can_serve: bool,
    /// Until when it is set aside for this task.
    pub(crate) aside_until: Option<Millis>,
    /// How many parents were set aside on its word.
    pub(crate) accused: u8,
    /// How often it had not what it claimed.
    pub(crate) misses: u8,
    pub(crate) pull: Option<Box<Pull>>,
}

impl Member {
    /// Whether what it holds can be had from it.
    pub(crate) const fn is_usable(&self) -> bool {
        self.can_serve && self.aside_until.is_none()
    }

    /// Whether what it holds or gets is a copy beside the cache's.
    pub(crate) const fn is_copy(&self) -> bool {
        !self.is_cache && self.aside_until.is_none()
    }
}
