//! The tasks that are known: what becomes of them, and who is told.

use std::sync::Arc;

use content::{SignedStatement, TaskId};
use peer::serve::unix_now;
use peer::{Failure, LiveTask};
use schedule::{Event, NodeId};
use wire::control::{SupernodeSays, TaskFailed};

use super::{Attempt, State, Swarm};

impl Swarm {
    /// A task is known: its cut, and what our own cache holds of it.
    pub fn know(&self, live: &Arc<LiveTask>) {
        let (task, layout, cached) = (live.id(), live.layout(), live.present());
        let now = self.now();
        let mut state = self.state();
        let attempt = Attempt { number: live.attempt(), end: live.end() };
        state.attempts.insert(task, attempt);
        state.scheduler.apply(Event::Task { task, layout }, now);
        let has = Event::Has { node: NodeId::CACHE, task, pieces: cached };
        state.scheduler.apply(has, now);
        // What was needed before anybody said where it comes from.
        let need = state.needs.get(&task).cloned();
        drop(state);
        if let Some(need) = need {
            self.inner.feeds.need(task, need);
        }
        self.inner.work.notify_one();
    }

    /// A node was granted a task: it may want it for as long as its ticket lives, and is told what
    /// becomes of it.
    pub fn grant(&self, name: &str, task: TaskId) {
        let until = unix_now() + self.inner.ticket_life.as_secs();
        let mut state = self.state();
        if let Some(node) = state.names.get(name).copied() {
            state.grants.entry(task).or_default().insert(node, until);
        }
    }

    /// Forgets grants that have ended.
    pub fn forget_grants(&self) {
        let now = unix_now();
        let mut state = self.state();
        state.grants.retain(|_, nodes| {
            nodes.retain(|_, until| *until > now);
            !nodes.is_empty()
        });
        let State { attempts, scheduler, .. } = &mut *state;
        attempts.retain(|task, _| scheduler.layout(task).is_some());
    }

    /// What nodes told of a task that our own cache does not know, as far as this cluster signed it.
    #[must_use]
    pub fn told(&self, task: &TaskId) -> Vec<SignedStatement> {
        self.state().claims.signed(task)
    }

    /// Whether some node, not only the cache, holds pieces of the task.
    #[must_use]
    pub fn is_held_by_nodes(&self, task: &TaskId) -> bool {
        self.state().scheduler.holders(task).iter().any(|node| *node != NodeId::CACHE)
    }

    /// An attempt at a task came to nothing: everybody who waits for it learns why.
    pub fn fail(&self, live: &Arc<LiveTask>, failure: &Failure) {
        let wrong = failure.kind == wire::request::Kind::Mismatch;
        let attempt = live.attempt();
        self.inner.engine.fail_attempt(live, failure.clone(), wrong);
        self.end(live.id(), attempt, failure);
    }

    /// Nobody could say what a task is that nodes wait for.
    pub fn lack(&self, task: TaskId, failure: &Failure) {
        let attempt = self.state().attempts.get(&task).map_or(0, |attempt| attempt.number);
        self.end(task, attempt, failure);
    }

    fn end(&self, task: TaskId, attempt: u64, failure: &Failure) {
        let message = TaskFailed {
            task: task.to_string(),
            failure: Some(failure.clone().into()),
            drop: failure.kind == wire::request::Kind::Mismatch,
            attempt,
        };
        let now = self.now();
        let mut state = self.state();
        if state.attempts.get(&task).is_some_and(|present| present.number != attempt) {
            return; // it has begun again meanwhile
        }
        state.attempts.remove(&task);
        state.scheduler.apply(Event::Forget { task }, now);
        state.needs.remove(&task);
        state.claims.forget(&task);
        state.wanted.forget(&task);
        for node in state.grants.remove(&task).unwrap_or_default().into_keys() {
            state.send(node, SupernodeSays::Failed(message.clone()), now);
        }
        drop(state);
        self.inner.feeds.forget(&task);
    }
}
