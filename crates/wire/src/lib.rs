//! Every message that crosses a process boundary, and what is signed in them, without a socket.
//!
//! Pure: no I/O, no clock, no async; `docs/protocol.md` tells the conversations in words.
//!
//! - [`frame`]: how a message is cut out of a stream;
//! - [`request`]: the first message on every stream says what the stream is for;
//! - [`control`]: the one long-lived stream between a node and its supernode;
//! - [`data`]: a run of pieces from whoever holds it;
//! - [`ticket`]: who may have a task, and until when, signed by the cluster;
//! - [`join`]: the first contact of a node that has no certificate yet.
//!
//! The messages are protobuf (prost), written as Rust structs. Unknown fields are ignored, so that a
//! cluster can be upgraded node by node; numbers are never used twice.

pub mod control;
pub mod data;
pub mod frame;
pub mod join;
pub mod request;
pub mod ticket;

pub use ticket::{SignedTicket, Ticket, TicketError};

use content::{Layout, Run, TaskId};

/// The protocol's name in the TLS handshake (RFC 7301); the number changes when an old peer could
/// no longer understand a new one.
pub const ALPN: &[u8] = b"meganeura/1";

/// The protocol's name for a node that has no certificate yet and may only join.
pub const ALPN_JOIN: &[u8] = b"meganeura-join/1";

/// A message that can be read but makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a peer sent a message without a valid {0}")]
pub struct Invalid(pub &'static str);

/// A signed statement on the wire.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Statement {
    /// The statement's bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// The signature over them.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

impl From<content::SignedStatement> for Statement {
    fn from(signed: content::SignedStatement) -> Self {
        Self { body: signed.body, signature: signed.signature }
    }
}

impl From<Statement> for content::SignedStatement {
    fn from(told: Statement) -> Self {
        Self { body: told.body, signature: told.signature }
    }
}

/// Reads a task's name.
///
/// # Errors
/// If it is none.
pub fn task(text: &str) -> Result<TaskId, Invalid> {
    text.parse().map_err(|_| Invalid("task"))
}

/// Reads a run of pieces.
///
/// # Errors
/// If its end lies before its beginning.
pub fn run(first: u32, end: u32) -> Result<Run, Invalid> {
    if end < first {
        return Err(Invalid("run of pieces"));
    }
    Ok(Run { first, end })
}

/// Reads a task's cut.
///
/// # Errors
/// If length or piece size are out of bounds.
pub fn layout(length: u64, piece_size: u64) -> Result<Layout, Invalid> {
    Layout::told(length, piece_size).map_err(|_| Invalid("layout"))
}
