//! What nodes say: what they may not say, and what cannot be so, changes nothing.

use content::{Layout, PieceSet, SignedStatement, TaskId};
use peer::serve::unix_now;
use schedule::{Event, LeaseId, NodeId, Want};
use wire::control::{SupernodeSays, Unopened};

use super::{Swarm, claims};
use crate::counters::Refused;

/// A node says that it holds pieces of a task.
#[derive(Debug)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// How the node says that it is cut.
    pub layout: Layout,
    /// The pieces.
    pub pieces: PieceSet,
    /// What was once signed of the task.
    pub statements: Vec<SignedStatement>,
}

impl Swarm {
    /// A node holds pieces. It is heard if the task is known, or if one of its statements was
    /// signed by this cluster: what nobody signed could not be passed on anyway.
    pub fn claim(&self, node: NodeId, claim: Claim) {
        let Claim { task, layout, pieces, statements } = claim;
        let news = self.state().claims.news(&task, statements);
        // Verifying takes longer than a lock should be held.
        let (believed, not) = claims::believed(&task, news, &self.inner.engine.verifier());
        self.inner.counters.refused(Refused::Statement, not as u64);
        let now = self.now();
        let mut state = self.state();
        state.claims.keep(believed);
        let known = state.scheduler.layout(&task).or_else(|| state.claims.layout(&task));
        if known != Some(layout) {
            drop(state);
            self.inner.counters.refused(Refused::Claim, 1);
            tracing::debug!(node = node.0, %task, "a claim that nothing proves");
            return;
        }
        state.scheduler.apply(Event::Task { task, layout }, now);
        state.scheduler.apply(Event::Has { node, task, pieces }, now);
        drop(state);
        self.inner.work.notify_one();
    }

    /// A node wants pieces. Leases carry tickets, so only what it was granted is scheduled for it.
    pub fn wants(&self, node: NodeId, want: Want) {
        let now = self.now();
        let mut state = self.state();
        let until = state.grants.get(&want.task).and_then(|nodes| nodes.get(&node));
        if until.is_none_or(|until| *until <= unix_now()) {
            let name = state.name(node);
            // It may have opened the task at a former supernode: then it opens it here too.
            let unopened = Unopened { task: want.task.to_string() };
            state.send(node, SupernodeSays::Unopened(unopened), now);
            drop(state);
            self.inner.counters.refused(Refused::Want, 1);
            tracing::debug!(node = %name, task = %want.task, "it wants what it has no leave to have");
            return;
        }
        state.scheduler.apply(Event::Wants { node, want }, now);
        let held = state.wanted.has(node, &want.task);
        drop(state);
        self.inner.work.notify_one();
        if held {
            return;
        }
        // What is wanted stays at hand. The engine is not asked under our lock: it may read the disk.
        if let Some(live) = self.inner.engine.live(&want.task) {
            let mut state = self.state();
            if state.nodes.contains_key(&node) {
                state.wanted.want(node, &live);
            }
        }
    }

    /// A node wants nothing of a task any more.
    pub fn unwants(&self, node: NodeId, task: TaskId) {
        self.apply(Event::Unwants { node, task });
        self.state().wanted.unwant(node, &task);
    }

    /// A lease has ended, as its receiver says; nobody else is believed.
    pub fn ended(&self, node: NodeId, lease: LeaseId, end: Event) {
        let now = self.now();
        let mut state = self.state();
        match state.scheduler.receiver_of(lease) {
            Some(receiver) if receiver == node => state.scheduler.apply(end, now),
            // Long over, or of a former life.
            None => return,
            Some(_) => {
                let name = state.name(node);
                drop(state);
                self.inner.counters.refused(Refused::End, 1);
                tracing::debug!(node = %name, "it speaks of the lease of another");
                return;
            }
        }
        drop(state);
        self.inner.work.notify_one();
    }
}
