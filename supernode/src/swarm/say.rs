//! What the supernode says under the cluster's key: what a task is, and who may have it.

use content::statement::Said;
use content::{Run, SignedStatement, Statement, TaskId};
use peer::serve::unix_now;
use wire::control::SupernodeSays;
use wire::{SignedTicket, Ticket};

use super::{Swarm, claims};

impl Swarm {
    /// The whole of a task matched: its digests are signed once more, as a whole, and told.
    pub fn whole(&self, task: TaskId) {
        let Some(live) = self.inner.engine.live(&task) else {
            return;
        };
        let signed = self.sign(&live, live.layout().all(), true);
        for statement in &signed {
            if let Err(error) = live.learn_signed(statement.clone(), &self.inner.engine.verifier())
            {
                tracing::warn!(%task, %error, "a whole task's statement could not be kept");
            }
        }
        // The cache may lose it; what was signed of it stands, and nodes that hold it can go on.
        let (believed, _) = claims::believed(&task, signed.clone(), &self.inner.engine.verifier());
        let now = self.now();
        let mut state = self.state();
        state.claims.keep(believed);
        let interested: Vec<_> = state.grants.get(&task).into_iter().flatten().collect();
        let interested: Vec<_> = interested.into_iter().map(|(node, _)| *node).collect();
        for node in interested {
            for statement in &signed {
                state.send(node, SupernodeSays::Learnt(statement.clone().into()), now);
            }
        }
    }

    /// What we say of a run of pieces, as far as their digests are known, in as many statements as
    /// it takes.
    #[must_use]
    pub fn sign(&self, live: &peer::LiveTask, run: Run, whole: bool) -> Vec<SignedStatement> {
        let book = live.book();
        let mut statements = Vec::new();
        let mut first = run.first;
        loop {
            let end = run.end.min(first.saturating_add(4096));
            let digests: Vec<_> = (first..end).map_while(|index| book.digest(index)).collect();
            let count = u32::try_from(digests.len()).unwrap_or(0);
            let said = Said {
                task: live.id(),
                layout: live.layout(),
                whole,
                media_type: live.stored().media_type(),
                first,
                digests,
            };
            statements.push(Statement::sign(said, &self.inner.signer).1);
            first += count;
            if count == 0 || first >= run.end {
                return statements;
            }
        }
    }

    /// Leave for a node to have a task.
    #[must_use]
    pub fn ticket(&self, task: TaskId, node: &str) -> SignedTicket {
        Ticket {
            task,
            expires: unix_now() + self.inner.ticket_life.as_secs(),
            node: node.to_owned(),
        }
        .sign(&self.inner.signer)
    }
}
