//! One task: who holds, asks for and wants which piece, and how many of each there are.
//!
//! Every change of a member's pieces goes through here, so that the counts per piece always are
//! what a recount would give (the tests recount): what a member holds here, what it wants and is
//! about to get in `wants`.

mod member;
mod told;
mod wants;

use std::collections::BTreeSet;

use content::{Layout, PieceIndex, PieceSet, Run, TaskId};

use crate::bits::{Bits, Held, words_of};
use crate::event::Millis;
use crate::node::NodeKey;
use crate::slab::{Key, KeyMap};

pub(crate) use member::{Hunger, Member, Pull};
pub(crate) use told::Told;

/// A task's index.
pub(crate) type TaskKey = Key<Task>;

/// One task.
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) layout: Layout,
    pub(crate) count: u32,
    pub(crate) members: KeyMap<crate::node::Node, Member>,
    /// How many usable members hold a piece, the cache among them.
    pub(crate) holders: Vec<u32>,
    /// How many members beside the cache hold a piece or are about to: its rarity.
    pub(crate) copies: Vec<u32>,
    /// Pieces without a copy: never sent to anybody who is still here.
    pub(crate) unsent: Bits,
    /// How many members want a piece and have it not.
    pub(crate) wanted: Vec<u32>,
    /// How many members could ask for a piece.
    pub(crate) open: Vec<u32>,
    /// Pieces that somebody could ask for.
    pub(crate) open_bits: Bits,
    /// Pieces that somebody wants and nobody can give.
    pub(crate) needed: Bits,
    /// Members with missing pieces.
    pub(crate) receivers: u32,
    /// Members that could take a lease now.
    pub(crate) hungry: BTreeSet<Hunger>,
    /// Leases in flight.
    pub(crate) leases: u32,
    pub(crate) told: Told,
}

impl Task {
    pub(crate) fn new(id: TaskId, layout: Layout) -> Self {
        let count = layout.pieces();
        let zeros = || vec![0; count as usize];
        let mut unsent = Bits::none(count);
        for piece in 0..count {
            unsent.set(piece);
        }
        Self {
            id,
            layout,
            count,
            members: KeyMap::default(),
            holders: zeros(),
            copies: zeros(),
            unsent,
            wanted: zeros(),
            open: zeros(),
            open_bits: Bits::none(count),
            needed: Bits::none(count),
            receivers: 0,
            hungry: BTreeSet::new(),
            leases: 0,
            told: Told { pieces: Bits::none(count), urgent: None, hurried: false },
        }
    }

    pub(crate) fn pull(&self, node: NodeKey) -> Option<&Pull> {
        self.members.get(&node)?.pull.as_deref()
    }

    /// The pieces of a told set that the task has.
    pub(crate) fn cut(&self, pieces: &PieceSet) -> Vec<PieceIndex> {
        pieces.iter().take_while(|piece| *piece < self.count).collect()
    }

    /// The bytes of a run.
    pub(crate) fn bytes(&self, run: Run) -> u64 {
        let bytes = self.layout.bytes_of(run);
        bytes.end - bytes.start
    }

    /// A member that holds and wants nothing yet.
    pub(crate) fn join(&mut self, node: NodeKey, is_cache: bool, can_serve: bool) {
        let held = Held::Some(Bits::none(self.count));
        self.members.entry(node).or_insert(Member {
            held,
            held_count: 0,
            is_cache,
            can_serve,
            aside_until: None,
            accused: 0,
            misses: 0,
            pull: None,
        });
    }

    /// A member goes, with all it holds and wants. Its leases are over already.
    pub(crate) fn leave(&mut self, node: NodeKey) {
        self.set_want(node, None);
        let Some(held) = self.members.get(&node).map(|member| member.held.pieces(self.count))
        else {
            return;
        };
        for piece in held {
            self.lose(node, piece);
        }
        self.members.remove(&node);
    }

    /// A member has got a piece. Says whether it is news.
    pub(crate) fn gain(&mut self, node: NodeKey, piece: PieceIndex) -> bool {
        let Some(member) = self.members.get_mut(&node) else {
            return false;
        };
        let Held::Some(bits) = &mut member.held else {
            return false;
        };
        if !bits.set(piece) {
            return false;
        }
        member.held_count += 1;
        if member.held_count == self.count {
            member.held = Held::All;
        }
        let (usable, copy) = (member.is_usable(), member.is_copy());
        let mut was_asked = false;
        if let Some(pull) = &mut member.pull {
            was_asked = pull.asked.clear(piece);
            if pull.run.contains(piece) {
                pull.missing -= 1;
                self.receivers -= u32::from(pull.missing == 0);
                let was_open = pull.open.clear(piece);
                pull.open_count -= u32::from(was_open);
                self.count_open(piece, was_open, false);
                self.wanted[piece as usize] -= 1;
            }
        }
        self.holders[piece as usize] += u32::from(usable);
        self.count_copy(piece, was_asked && copy, copy);
        self.judge_need(piece);
        true
    }

    /// A member has a piece no more. Says whether it had.
    pub(crate) fn lose(&mut self, node: NodeKey, piece: PieceIndex) -> bool {
        let Some(member) = self.members.get_mut(&node) else {
            return false;
        };
        if !member.held.get(piece) {
            return false;
        }
        member.held_count -= 1;
        if member.held == Held::All {
            let mut bits = Bits::none(self.count);
            for other in 0..self.count {
                bits.set(other);
            }
            member.held = Held::Some(bits);
        }
        if let Held::Some(bits) = &mut member.held {
            bits.clear(piece);
        }
        let (usable, copy) = (member.is_usable(), member.is_copy());
        if let Some(pull) = &mut member.pull
            && pull.run.contains(piece)
        {
            self.receivers += u32::from(pull.missing == 0);
            pull.missing += 1;
            pull.open.set(piece);
            pull.open_count += 1;
            self.count_open(piece, false, true);
            self.wanted[piece as usize] += 1;
        }
        self.holders[piece as usize] -= u32::from(usable);
        self.count_copy(piece, copy, false);
        self.judge_need(piece);
        true
    }

    /// Sets whether a member serves at all, and until when it is set aside.
    pub(crate) fn set_usable(&mut self, node: NodeKey, can_serve: bool, aside: Option<Millis>) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let before = (member.is_usable(), member.is_copy());
        member.can_serve = can_serve;
        member.aside_until = aside;
        let after = (member.is_usable(), member.is_copy());
        if before == after {
            return;
        }
        let held = member.held.pieces(self.count);
        let asked: Vec<_> = member.pull.iter().flat_map(|pull| pull.asked.iter()).collect();
        for piece in held {
            let holders = &mut self.holders[piece as usize];
            *holders = *holders + u32::from(after.0) - u32::from(before.0);
            self.count_copy(piece, before.1, after.1);
            self.judge_need(piece);
        }
        for piece in asked {
            self.count_copy(piece, before.1, after.1);
        }
    }

    /// Pieces that the cache holds, that were never sent, and that somebody could ask for.
    pub(crate) fn has_unsent(&self, held: &Held) -> bool {
        words_of(self.layout.all()).any(|(index, _)| {
            held.word(index) & self.unsent.word(index) & self.open_bits.word(index) != 0
        })
    }

    fn count_open(&mut self, piece: PieceIndex, before: bool, after: bool) {
        let open = &mut self.open[piece as usize];
        *open = *open + u32::from(after) - u32::from(before);
        if *open > 0 {
            self.open_bits.set(piece);
        } else {
            self.open_bits.clear(piece);
        }
    }

    fn count_copy(&mut self, piece: PieceIndex, before: bool, after: bool) {
        let copies = &mut self.copies[piece as usize];
        *copies = *copies + u32::from(after) - u32::from(before);
        if *copies > 0 {
            self.unsent.clear(piece);
        } else {
            self.unsent.set(piece);
        }
    }

    fn judge_need(&mut self, piece: PieceIndex) {
        let index = piece as usize;
        if self.wanted[index] > 0 && self.holders[index] == 0 {
            self.needed.set(piece);
        } else {
            self.needed.clear(piece);
        }
    }
}
