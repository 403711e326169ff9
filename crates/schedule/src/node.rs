//! One connected node: its slots, how fast it is, whom it avoids.

use crate::decision::LeaseId;
use crate::event::{Millis, NodeFacts, NodeId};
use crate::pipe::Pipe;
use crate::policy::Policy;
use crate::rate::{Rate, as_f64};
use crate::slab::Key;
use crate::task::Task;

/// A node's index.
pub(crate) type NodeKey = Key<Node>;

/// Where a node stands. Only hashes are kept: names come from nodes and would have to be bounded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Place {
    pub(crate) zone: u64,
    pub(crate) rack: u64,
}

impl Place {
    fn of(facts: &NodeFacts) -> Self {
        Self { zone: fnv(&facts.zone), rack: fnv(&facts.rack) }
    }

    /// 0 in the same rack, 1 in the same zone, 2 elsewhere.
    pub(crate) fn distance(self, other: Self) -> u8 {
        match (self.zone == other.zone, self.rack == other.rack) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }
}

/// So many leases are on an uplink however long they take: those that are sent, those that wait
/// their turn, those that are asked for, and those whose end is not known yet. Of a task of 256
/// pieces that is one in thirty, so it never costs much.
const AT_LEAST: usize = 8;

/// The same on an uplink that is much slower than others.
const ON_A_SLOW_ONE: usize = 2;

/// FNV-1a, 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One connected node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) place: Place,
    pub(crate) can_serve: bool,
    pub(crate) slots: u32,
    /// Bytes per millisecond that a lease from it gets.
    pub(crate) rate: Rate,
    /// Its uplink, and its downlink.
    pub(crate) uplink: Pipe,
    pub(crate) downlink: Pipe,
    /// Leases that it serves.
    pub(crate) uploads: Vec<LeaseId>,
    /// So many leases are on its uplink however long they take.
    pub(crate) least: usize,
    /// Leases that it receives.
    pub(crate) downloads: Vec<LeaseId>,
    /// Since when nothing was on its way to it.
    pub(crate) idle_since: Millis,
    /// Tasks of which it holds or wants something.
    pub(crate) tasks: Vec<Key<Task>>,
    /// Parents that it does not use for now.
    pub(crate) avoids: Vec<(NodeId, Millis)>,
    /// Until when it serves nobody.
    pub(crate) rests_until: Millis,
    /// Until when it gets nothing.
    pub(crate) mute_until: Millis,
    /// The last receiver that could not reach it, and how many in a row could not.
    pub(crate) unreached: (Option<NodeId>, u32),
    /// Leases of which it told nothing, in a row.
    pub(crate) silent: u32,
    /// How many tasks it wants that are not known yet.
    pub(crate) early: usize,
}

impl Node {
    pub(crate) fn new(id: NodeId, facts: &NodeFacts, policy: &Policy) -> Self {
        let mut node = Self {
            id,
            place: Place::default(),
            can_serve: false,
            slots: 0,
            rate: Rate::default(),
            uplink: Pipe::default(),
            downlink: Pipe::default(),
            uploads: Vec::new(),
            least: AT_LEAST,
            downloads: Vec::new(),
            idle_since: 0,
            tasks: Vec::new(),
            avoids: Vec::new(),
            rests_until: 0,
            mute_until: 0,
            unreached: (None, 0),
            silent: 0,
            early: 0,
        };
        node.learn_facts(facts, policy);
        node
    }

    pub(crate) fn learn_facts(&mut self, facts: &NodeFacts, policy: &Policy) {
        self.place = Place::of(facts);
        self.can_serve = facts.can_serve;
        self.slots = match facts.upload_slots {
            0 if self.is_cache() => policy.cache_upload_slots,
            0 => policy.upload_slots,
            told => told,
        };
        if self.uplink.rate().is_none() {
            let told = facts.upload_bytes_per_s.filter(|rate| *rate > 0);
            self.uplink.told(told.map(|rate| as_f64(rate) / 1000.0));
        }
    }

    pub(crate) const fn is_cache(&self) -> bool {
        self.id.0 == NodeId::CACHE.0
    }

    /// Whether it should serve one more lease: its uplink would run dry without.
    pub(crate) fn is_free(&self, now: Millis) -> bool {
        let is_filled = self.uploads.len() >= self.least && self.uplink.is_full();
        self.has_slot(0, now) && !is_filled
    }

    /// Whether it could serve one more lease, `extra` beyond its slots.
    pub(crate) fn has_slot(&self, extra: u32, now: Millis) -> bool {
        self.can_serve
            && self.rests_until <= now
            && self.uploads.len() < (self.slots + extra) as usize
    }

    /// Learns what an uplink usually carries: on one that carries much less, leases would wait long.
    pub(crate) fn compare(&mut self, usual: Option<f64>) {
        let slow = self.uplink.rate().zip(usual).is_some_and(|(own, usual)| own * 2.0 < usual);
        self.least = if slow { ON_A_SLOW_ONE } else { AT_LEAST };
    }

    /// Whether more would only wait at its downlink.
    pub(crate) const fn is_sated(&self) -> bool {
        self.downloads.len() >= AT_LEAST && self.downlink.is_full()
    }

    /// Whether it could take one more lease, up to `limit`.
    pub(crate) fn has_room(&self, limit: u32, now: Millis) -> bool {
        self.mute_until <= now && self.downloads.len() < limit as usize
    }

    pub(crate) fn avoids(&self, parent: NodeId, now: Millis) -> bool {
        let mut avoided = self.avoids.iter();
        avoided.any(|(node, until)| *node == parent && *until > now)
    }

    /// Does not use `parent` until then. Says whether it is news.
    pub(crate) fn avoid(&mut self, parent: NodeId, until: Millis, now: Millis) {
        self.avoids.retain(|(node, end)| *end > now && *node != parent);
        self.avoids.push((parent, until));
    }
}
