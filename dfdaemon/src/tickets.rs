//! The node's own leave to fetch tasks from others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use content::{TaskId, Verifier};
use peer::serve::unix_now;
use wire::SignedTicket;

/// So many tickets are kept; the first to end go first.
const MAX_TICKETS: usize = 50_000;

/// Tickets by task, the one that lasts longest of each.
#[derive(Debug, Default)]
pub struct Tickets {
    kept: Mutex<HashMap<TaskId, (u64, SignedTicket)>>,
}

impl Tickets {
    /// Keeps a ticket, if there is one and one of `verifier`'s keys signed it; tells what it is for.
    pub fn keep(&self, signed: Option<SignedTicket>, verifier: &Verifier) -> Option<TaskId> {
        let signed = signed?;
        let ticket = signed.believe(verifier).ok()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_TICKETS {
            let now = unix_now();
            kept.retain(|_, (expires, _)| *expires > now);
        }
        let entry = kept.entry(ticket.task).or_default();
        if ticket.expires > entry.0 {
            *entry = (ticket.expires, signed);
        }
        Some(ticket.task)
    }

    /// All tickets that have not ended, in the order of their tasks.
    #[must_use]
    pub fn all(&self) -> Vec<SignedTicket> {
        let now = unix_now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (expires, _)| *expires > now);
        let mut all: Vec<_> = kept.values().map(|(_, signed)| signed.clone()).collect();
        all.sort_by(|one, other| one.body.cmp(&other.body));
        all
    }

    /// The ticket for a task, if there is one that has not ended.
    #[must_use]
    pub fn get(&self, task: &TaskId) -> Option<SignedTicket> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (expires, signed) = kept.get(task)?;
        (*expires > unix_now()).then(|| signed.clone())
    }
}
