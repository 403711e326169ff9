//! What the scheduler decided is carried out: leases go to nodes, needs to the origin.

use std::time::Duration;

use content::TaskId;
use peer::feed::Need;
use schedule::{Decision, Event, Lease, NodeId};
use wire::control::{self, SupernodeSays, Unopened};

use super::priority::wire_priority;
use super::{Attempt, Swarm};

impl Swarm {
    /// Plans whenever something happened or a time has come; never ends.
    pub async fn run(self) {
        loop {
            let timer = self.state().scheduler.next_timer();
            let pause = timer.map_or(Duration::from_secs(1), |at| {
                Duration::from_millis(at.saturating_sub(self.now()))
            });
            tokio::select! {
                () = self.inner.work.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let now = self.now();
            let decisions = self.state().scheduler.plan(now);
            for decision in decisions {
                self.carry_out(decision);
            }
        }
    }

    fn carry_out(&self, decision: Decision) {
        match decision {
            Decision::Lease(lease) => self.lease(lease),
            Decision::Cancel { lease, node } => {
                let cancel = control::Cancel { lease: lease.0 };
                let now = self.now();
                self.state().send(node, SupernodeSays::Cancel(cancel), now);
            }
            Decision::Need { task, pieces, urgent_first, priority } => {
                let priority = wire_priority(priority);
                let need = Need { pieces, urgent: urgent_first, priority };
                self.state().needs.insert(task, need.clone());
                self.claim_again(task, &need);
                let wanted = !need.pieces.is_empty();
                if !self.inner.feeds.need(task, need) && wanted {
                    self.reopen(task);
                }
            }
            Decision::SetAside { node, task } => {
                let name = self.state().name(node);
                tracing::warn!(node = %name, %task, "set aside: it sent wrong bytes, or claims what it has not");
            }
        }
    }

    /// Where the task comes from was forgotten: those who may have it tell it again.
    fn reopen(&self, task: TaskId) {
        let now = self.now();
        let mut state = self.state();
        // It has just failed, and they are about to be told: nobody is to begin it anew for them.
        if state.attempts.get(&task).is_some_and(Attempt::has_failed) {
            return;
        }
        let nodes: Vec<_> =
            state.grants.get(&task).into_iter().flat_map(|nodes| nodes.keys()).copied().collect();
        for node in nodes {
            let unopened = Unopened { task: task.to_string() };
            state.send(node, SupernodeSays::Unopened(unopened), now);
        }
    }

    /// Of what is needed, the cache may have some all the same: a receiver could not take it, or it
    /// went and came again.
    fn claim_again(&self, task: TaskId, need: &Need) {
        if let Some(live) = self.inner.engine.live(&task) {
            let mut pieces = live.present();
            pieces.intersect_with(&need.pieces);
            if !pieces.is_empty() {
                self.apply(Event::Has { node: NodeId::CACHE, task, pieces });
            }
        }
    }

    fn lease(&self, lease: Lease) {
        let Some(live) = self.inner.engine.live(&lease.task) else {
            return self.reopen(lease.task);
        };
        let statements = self.sign(&live, lease.run, false);
        let now = self.now();
        let mut state = self.state();
        let Some(node) = state.nodes.get(&lease.node) else {
            return;
        };
        let (parent, address) = match state.nodes.get(&lease.parent) {
            Some(parent) => (parent.name.clone(), parent.address.clone()),
            None => (String::new(), String::new()), // our own cache
        };
        let message = control::Lease {
            lease: lease.id.0,
            task: lease.task.to_string(),
            first: lease.run.first,
            end: lease.run.end,
            parent,
            address,
            ticket: Some(self.ticket(lease.task, &node.name)),
            statements: statements.into_iter().map(Into::into).collect(),
            priority: wire_priority(lease.priority).into(),
        };
        state.send(lease.node, SupernodeSays::Lease(message), now);
    }
}
