//! What the origin has to be asked for.

use content::PieceIndex;

use crate::bits::Bits;
use crate::decision::Decision;
use crate::event::{NodeId, Priority};
use crate::node::NodeKey;
use crate::swarm::Swarm;
use crate::task::{Pull, TaskKey};

impl Swarm {
    /// A want is new, or its reader moved: if it waits for the origin more urgently than what the
    /// caller was told, it is told anew.
    pub(super) fn hurry(&mut self, task: TaskKey, node: NodeKey) {
        self.dirty_needs.insert(task);
        let state = &mut self.tasks[task];
        let Some(pull) = state.pull(node) else {
            return;
        };
        let waits = first_needed(pull, &state.needed).is_some();
        let told = state.told.urgent;
        let more_urgent = told.is_none_or(|(priority, piece)| {
            pull.priority < priority
                || (pull.priority == Priority::Blocked && !state.told.pieces.get(piece))
        });
        state.told.hurried |= waits && more_urgent;
    }

    pub(super) fn tell_needs(&mut self) {
        for task in std::mem::take(&mut self.dirty_needs) {
            if self.tasks.get(task).is_some() {
                self.tell_need(task);
            }
        }
    }

    fn tell_need(&mut self, task: TaskKey) {
        let needed = self.all_needed(task);
        let state = &self.tasks[task];
        if needed == state.told.pieces && !state.told.hurried {
            return;
        }
        let urgent = self.most_urgent(task, &needed);
        let state = &mut self.tasks[task];
        let news = needed != state.told.pieces || urgent != state.told.urgent;
        state.told.pieces = needed;
        state.told.urgent = urgent;
        state.told.hurried = false;
        if news {
            self.out.push(Decision::Need {
                task: state.id,
                pieces: state.told.pieces.to_set(state.count),
                urgent_first: urgent.map(|(_, piece)| piece),
                priority: urgent.map_or(Priority::Preheat, |(priority, _)| priority),
            });
        }
    }

    /// What nobody can give, and what nobody can give to the one who wants it.
    fn all_needed(&self, task: TaskKey) -> Bits {
        let state = &self.tasks[task];
        let mut needed = state.needed.clone();
        for node in &self.avoiders {
            let Some(pull) = state.pull(*node) else {
                continue;
            };
            for piece in pull.open.iter() {
                if !needed.get(piece) && self.is_stranded(task, *node, piece) {
                    needed.set(piece);
                }
            }
        }
        needed
    }

    /// Whether `node` avoids everybody who could give it the piece, and the cache is not among
    /// them: it gets it from the origin then.
    fn is_stranded(&self, task: TaskKey, node: NodeKey, piece: PieceIndex) -> bool {
        let state = &self.tasks[task];
        let mut avoided = 0;
        for (parent, until) in &self.nodes[node].avoids {
            let member = self.node_keys.get(parent).and_then(|key| state.members.get(key));
            if *until > self.now
                && member.is_some_and(|member| member.is_usable() && member.held.get(piece))
            {
                if *parent == NodeId::CACHE {
                    return false; // it will be tried again soon, the origin gives nothing else
                }
                avoided += 1;
            }
        }
        avoided >= state.holders[piece as usize]
    }

    /// Who waits for the origin most urgently, and for what.
    fn most_urgent(&self, task: TaskKey, needed: &Bits) -> Option<(Priority, PieceIndex)> {
        let members = self.tasks[task].members.values();
        members
            .filter_map(|member| member.pull.as_deref())
            .filter_map(|pull| Some((pull.priority, first_needed(pull, needed)?)))
            .min()
    }
}

/// The first needed piece that the reader comes to; else the first that it left out.
fn first_needed(pull: &Pull, needed: &Bits) -> Option<PieceIndex> {
    let from = |piece| needed.first_at(piece).filter(|piece| pull.run.contains(*piece));
    from(pull.reader_at.max(pull.run.first)).or_else(|| from(pull.run.first))
}
