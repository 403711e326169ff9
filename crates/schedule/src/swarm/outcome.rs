//! How leases end, and what is learned from it. Whose fault it was is in `blame`.

use content::{PieceIndex, PieceSet, Run};

use crate::decision::LeaseId;
use crate::event::{Blame, Millis};
use crate::node::NodeKey;
use crate::rate::to_u64;
use crate::swarm::Swarm;
use crate::swarm::lease::InFlight;
use crate::task::TaskKey;

impl Swarm {
    /// A node has got pieces: its leases are looked at anew, and it can serve them.
    pub(super) fn gains(&mut self, task: TaskKey, key: NodeKey, pieces: &[PieceIndex]) {
        let is_cache = self.nodes[key].is_cache();
        let mut news = false;
        for piece in pieces {
            let state = &mut self.tasks[task];
            if is_cache {
                state.told.arrived(*piece);
            }
            if state.gain(key, *piece) {
                news = true;
                self.heard(task, key, *piece);
            }
        }
        if !news {
            return;
        }
        self.drop_useless(task, key);
        self.watch_all(task, key);
        self.settle_pull(task, key);
        self.dirty_receivers.insert((task, key));
        self.dirty_parents.insert(key);
        self.dirty_needs.insert(task);
    }

    /// A piece of a lease came, from whichever parent.
    fn heard(&mut self, task: TaskKey, key: NodeKey, piece: PieceIndex) {
        let bytes = self.tasks[task].bytes(Run { first: piece, end: piece + 1 });
        for index in 0..self.nodes[key].downloads.len() {
            let id = self.nodes[key].downloads[index];
            if let Some(lease) = self.leases.get_mut(&id)
                && lease.task == task
                && lease.run.contains(piece)
                && lease.twin.is_none()
            {
                lease.heard_at = self.now;
                self.arrived(id, bytes);
            }
        }
    }

    /// A parent has sent so much of a lease.
    fn arrived(&mut self, id: LeaseId, bytes: u64) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        let bytes = bytes.min(lease.left);
        lease.left -= bytes;
        let (node, parent) = (lease.node, lease.parent);
        self.nodes[parent].uplink.arrive(bytes);
        self.nodes[node].downlink.arrive(bytes);
        self.touch_parent(parent);
    }

    /// A lease brought all that it should: the links' rates are seen.
    fn observe(&mut self, id: LeaseId) {
        let Some(InFlight { node, parent, marks: [up, down], .. }) = self.leases.get(&id) else {
            return;
        };
        let (node, parent) = (*node, *parent);
        let uplink = &mut self.nodes[parent].uplink;
        uplink.observe(*up, self.now);
        if let Some(rate) = uplink.rate() {
            self.usual_uplink.see(rate);
        }
        if let Some(pace) = uplink.pace() {
            self.usual_pace.learn(to_u64(pace));
        }
        self.nodes[node].downlink.observe(*down, self.now);
    }

    pub(super) fn done(&mut self, id: LeaseId, pieces: &PieceSet, bytes: u64, millis: Millis) {
        let Some(lease) = self.leases.get(&id) else {
            self.late_report(id, pieces, None);
            return;
        };
        let (task, node, parent) = (lease.task, lease.node, lease.parent);
        let got = self.got(lease, pieces);
        let outstanding = self.outstanding(lease);
        self.speaks(node);
        if got.is_empty() && !outstanding.is_empty() {
            // Done, and nothing there: were it believed, the same lease would be given for ever.
            self.fail(id, &[], Blame::Timeout);
            return;
        }
        if bytes > 0 {
            self.nodes[parent].rate.learn(bytes, millis);
            self.typical.learn(bytes, millis);
        }
        self.nodes[parent].unreached = (None, 0);
        self.stats.done += 1;
        self.stats.pieces += got.len() as u64;
        self.gain_and_end(id, task, node, &got);
    }

    pub(super) fn failed(&mut self, id: LeaseId, got: &PieceSet, blame: Blame) {
        let Some(lease) = self.leases.get(&id) else {
            self.late_report(id, got, Some(blame));
            return;
        };
        let (node, got) = (lease.node, self.got(lease, got));
        self.speaks(node);
        self.fail(id, &got, blame);
    }

    /// What a report says that came, cut to what was asked.
    fn got(&self, lease: &InFlight, pieces: &PieceSet) -> Vec<PieceIndex> {
        let run = lease.run.iter();
        let count = self.tasks[lease.task].count;
        run.filter(|piece| *piece < count && pieces.contains(*piece)).collect()
    }

    /// Takes in what came, and ends the lease: in this order, so that what came is not asked anew.
    /// Having it all may end the lease by itself, and then without a word to the receiver.
    fn gain_and_end(&mut self, id: LeaseId, task: TaskKey, node: NodeKey, got: &[PieceIndex]) {
        for piece in got {
            if self.tasks[task].gain(node, *piece) {
                self.heard(task, node, *piece);
            }
        }
        if got.len() == self.leases[&id].run.len() as usize {
            // Also where its twin's pieces came first.
            self.arrived(id, u64::MAX);
            self.observe(id);
        }
        self.end(id);
        self.drop_useless(task, node);
        self.watch_all(task, node);
        self.settle_pull(task, node);
        self.dirty_parents.insert(node);
        self.dirty_needs.insert(task);
    }

    pub(super) fn fail(&mut self, id: LeaseId, got: &[PieceIndex], blame: Blame) {
        let Some(lease) = self.leases.get(&id) else {
            return;
        };
        self.stats.failed += 1;
        let (task, node, parent) = (lease.task, lease.node, lease.parent);
        let (since, run) = (lease.since, lease.run);
        self.gain_and_end(id, task, node, got);
        let missed: Vec<_> = run.iter().filter(|piece| !got.contains(piece)).collect();
        let is_cache = self.nodes[parent].is_cache();
        match blame {
            Blame::Parent => self.blame_bytes(task, node, parent, &missed),
            Blame::Missing => self.blame_claim(task, node, parent, &missed),
            Blame::Unreachable => self.blame_reach(node, parent),
            Blame::Busy if is_cache => self.avoid(node, parent),
            Blame::Busy => self.rest(parent, self.policy.busy),
            Blame::Refused => self.avoid(node, parent),
            Blame::Timeout => {
                let bytes = self.tasks[task].bytes(run);
                self.nodes[parent].rate.at_most(bytes, self.now - since);
                self.blame_reach(node, parent);
            }
            Blame::Receiver => self.mute(node, self.policy.rest),
        }
    }
}
