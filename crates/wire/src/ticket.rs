//! Who may have a task, and until when, signed by the cluster.
//!
//! A ticket is bound to the node that it was made for: the holder of the bytes compares its name
//! with the one in the asker's certificate, so that a stolen ticket opens nothing. Its bytes are a
//! fixed layout, big-endian: kind of task and its name (1 + 32), expiry in Unix seconds (8), the
//! node's name.

use content::sign::{Domain, Signer, Verifier};
use content::{Digest, TaskId};

/// Leave for one node to have one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// The task.
    pub task: TaskId,
    /// When it ends, in seconds since the Unix epoch.
    pub expires: u64,
    /// The node that may have it.
    pub node: String,
}

/// A ticket on its way, not yet believed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedTicket {
    /// The ticket's bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// The signature over them.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// Why a ticket opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// No key of the cluster signed it, or it is no ticket.
    #[error("the ticket is not of this cluster")]
    Forged,
    /// It was made for another node.
    #[error("the ticket was made for another node")]
    OtherNode,
    /// It was made for another task.
    #[error("the ticket was made for another task")]
    OtherTask,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
}

impl Ticket {
    /// Signs the ticket.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> SignedTicket {
        let (kind, name) = match &self.task {
            TaskId::Blob(digest) => (0, digest.as_bytes()),
            TaskId::Url(raw) => (1, raw),
        };
        let mut body = vec![kind];
        body.extend_from_slice(name);
        body.extend_from_slice(&self.expires.to_be_bytes());
        body.extend_from_slice(self.node.as_bytes());
        let signature = signer.sign(Domain::Ticket, &body);
        SignedTicket { body, signature }
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let ([kind], rest) = body.split_first_chunk()?;
        let (name, rest) = rest.split_first_chunk::<32>()?;
        let (expires, node) = rest.split_first_chunk::<8>()?;
        let task = match kind {
            0 => TaskId::Blob(Digest::from_bytes(*name)),
            1 => TaskId::Url(*name),
            _ => return None,
        };
        Some(Self {
            task,
            expires: u64::from_be_bytes(*expires),
            node: std::str::from_utf8(node).ok()?.to_owned(),
        })
    }
}

impl SignedTicket {
    /// The ticket, if the cluster signed it.
    ///
    /// # Errors
    /// If it did not, or the body is no ticket.
    pub fn believe(&self, verifier: &Verifier) -> Result<Ticket, TicketError> {
        if !verifier.verify(Domain::Ticket, &self.body, &self.signature) {
            return Err(TicketError::Forged);
        }
        Ticket::decode(&self.body).ok_or(TicketError::Forged)
    }

    /// Whether the ticket gives `task` to `node` at `now` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// Why it does not.
    pub fn admit(
        &self,
        verifier: &Verifier,
        task: TaskId,
        node: &str,
        now: u64,
    ) -> Result<(), TicketError> {
        let ticket = self.believe(verifier)?;
        if ticket.node != node {
            return Err(TicketError::OtherNode);
        }
        if ticket.task != task {
            return Err(TicketError::OtherTask);
        }
        if ticket.expires <= now {
            return Err(TicketError::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_one_task_for_one_node_for_its_time() {
        let signer = Signer::from_seed(&[1; 32]).expect("32 bytes");
        let verifier = signer.verifier();
        let task = TaskId::Blob(Digest::of(b"x"));
        let ticket = Ticket { task, expires: 100, node: "n1".into() }.sign(&signer);
        assert_eq!(ticket.admit(&verifier, task, "n1", 99), Ok(()));
        assert_eq!(ticket.admit(&verifier, task, "n1", 100), Err(TicketError::Expired));
        assert_eq!(ticket.admit(&verifier, task, "n2", 99), Err(TicketError::OtherNode));
        let other = TaskId::Blob(Digest::of(b"y"));
        assert_eq!(ticket.admit(&verifier, other, "n1", 99), Err(TicketError::OtherTask));
        for index in 0..ticket.body.len() {
            let mut changed = ticket.clone();
            changed.body[index] ^= 1;
            assert_eq!(changed.admit(&verifier, task, "n1", 99), Err(TicketError::Forged));
        }
        let none = SignedTicket::default();
        assert_eq!(none.admit(&verifier, task, "n1", 99), Err(TicketError::Forged));
    }
}
