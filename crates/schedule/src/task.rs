//! One task: who holds, asks for and wants which piece, and how many of each there are.
//!
//! Every change of a member's pieces goes through here, so that the counts per piece always are
//! what a recount would give (the tests recount).

use std::collections::BTreeSet;

use content::{Layout, PieceIndex, PieceSet, Run, TaskId};

use crate::bits::{Bits, Held, words_of};
use crate::event::{Millis, Priority, Want};
use crate::node::NodeKey;
use crate::slab::{Key, KeyMap};

/// A task's index.
pub(crate) type TaskKey = Key<Task>;

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
    const fn is_copy(&self) -> bool {
        !self.is_cache && self.aside_until.is_none()
    }
}

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

/// What the caller was told of a task's need.
pub(crate) struct Told {
    /// As told, less what the cache got since.
    pub(crate) pieces: Bits,
    pub(crate) urgent: Option<(Priority, PieceIndex)>,
    /// Where to begin has to be worked out anew.
    pub(crate) hurried: bool,
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

    /// Pieces that the cache holds, that were never sent, and that somebody could ask for.
    pub(crate) fn has_fresh(&self, held: &Held) -> bool {
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

impl Told {
    /// The cache got a piece: that is what the caller was told to do, and no news to it; but a
    /// blocked reader may wait for another now.
    pub(crate) fn arrived(&mut self, piece: PieceIndex) {
        self.pieces.clear(piece);
        self.hurried |= self.urgent == Some((Priority::Blocked, piece));
    }
}
