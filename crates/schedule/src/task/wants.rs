//! What the members of a task want and are about to get.

use content::{PieceIndex, Run};

use crate::bits::Bits;
use crate::event::Want;
use crate::node::NodeKey;
use crate::task::{Hunger, Pull, Task};

impl Task {
    /// Replaces what a member wants. With `None`, its leases are over already.
    pub(crate) fn set_want(&mut self, node: NodeKey, want: Option<&Want>) {
        let run = want.map(|want| Run {
            first: want.run.first.min(self.count),
            end: want.run.end.min(self.count),
        });
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        if let (Some(pull), Some(want)) = (&mut member.pull, want) {
            pull.reader_at = want.reader_at;
            pull.priority = want.priority;
            if Some(pull.run) == run {
                return;
            }
        }
        let former = member.pull.take();
        let mut asked = Bits::none(self.count);
        if let Some(former) = former {
            self.drop_pull(&former);
            asked = former.asked;
        }
        if let (Some(run), Some(want)) = (run, want) {
            self.start_pull(node, run, want, asked);
        }
    }

    fn drop_pull(&mut self, former: &Pull) {
        if let Some(hunger) = former.hunger {
            self.hungry.remove(&hunger);
        }
        self.receivers -= u32::from(former.missing > 0);
        for piece in former.run.iter() {
            let open = former.open.get(piece);
            if open {
                self.count_open(piece, true, false);
            }
            // What was missing is open or asked.
            if open || former.asked.get(piece) {
                self.wanted[piece as usize] -= 1;
                self.judge_need(piece);
            }
        }
    }

    fn start_pull(&mut self, node: NodeKey, run: Run, want: &Want, asked: Bits) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let mut pull = Pull {
            run,
            reader_at: want.reader_at,
            priority: want.priority,
            open: Bits::none(self.count),
            open_count: 0,
            asked,
            missing: 0,
            window: Run::EMPTY,
            hunger: None,
        };
        let missing: Vec<_> = run.iter().filter(|piece| !member.held.get(*piece)).collect();
        for piece in &missing {
            pull.missing += 1;
            if !pull.asked.get(*piece) {
                pull.open.set(*piece);
                pull.open_count += 1;
            }
        }
        self.receivers += u32::from(pull.missing > 0);
        let open = pull.open.clone();
        member.pull = Some(Box::new(pull));
        for piece in missing {
            self.wanted[piece as usize] += 1;
            self.count_open(piece, false, open.get(piece));
            self.judge_need(piece);
        }
    }

    /// A piece is in a lease to a member.
    pub(crate) fn ask(&mut self, node: NodeKey, piece: PieceIndex) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let copy = member.is_copy();
        let (held, Some(pull)) = (member.held.get(piece), &mut member.pull) else {
            return;
        };
        if held || !pull.asked.set(piece) {
            return;
        }
        let was_open = pull.open.clear(piece);
        pull.open_count -= u32::from(was_open);
        self.count_open(piece, was_open, false);
        self.count_copy(piece, false, copy);
    }

    /// A piece is in no lease to a member any more.
    pub(crate) fn unask(&mut self, node: NodeKey, piece: PieceIndex) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let copy = member.is_copy();
        let Some(pull) = &mut member.pull else {
            return;
        };
        if !pull.asked.clear(piece) {
            return;
        }
        let is_open = pull.run.contains(piece) && pull.open.set(piece);
        pull.open_count += u32::from(is_open);
        self.count_open(piece, false, is_open);
        self.count_copy(piece, copy, false);
    }

    /// Works out anew where a member chooses from, and its place among the hungry; `has_room` is
    /// whether it could take a lease.
    pub(crate) fn settle(&mut self, node: NodeKey, has_room: bool, window: u32) {
        let Some(pull) = self.members.get_mut(&node).and_then(|m| m.pull.as_mut()) else {
            return;
        };
        // From the first open piece, not from the first missing: a piece that is slow to come does
        // not stop the rest.
        let from = pull.open.first_at(pull.reader_at);
        let first = from.or_else(|| pull.open.first_at(0)).unwrap_or(pull.run.end);
        pull.window = Run { first, end: pull.run.end.min(first.saturating_add(window)) };
        let hunger = (has_room && pull.open_count > 0).then_some(Hunger {
            priority: pull.priority,
            need: std::cmp::Reverse(pull.open_count),
            node,
        });
        if pull.hunger != hunger {
            if let Some(former) = pull.hunger {
                self.hungry.remove(&former);
            }
            pull.hunger = hunger;
            self.hungry.extend(hunger);
        }
    }
}
