//! What can go wrong, and whether trying again may help.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use wire::frame::FrameError;

use crate::role::shorten;

/// Why a connection is closed or a stream ended, as the other side is told.
pub(crate) mod code {
    use quinn::VarInt;

    /// Nothing is wrong.
    pub(crate) const DONE: VarInt = VarInt::from_u32(0);
    /// No certificate was shown, or none that can be read.
    pub(crate) const STRANGER: VarInt = VarInt::from_u32(1);
    /// There are too many connections.
    pub(crate) const FULL: VarInt = VarInt::from_u32(2);
    /// The certificate has expired meanwhile.
    pub(crate) const EXPIRED: VarInt = VarInt::from_u32(3);
    /// The stream's first message did not come, or is none.
    pub(crate) const GARBAGE: VarInt = VarInt::from_u32(4);
    /// The stream was given up half-way.
    pub(crate) const ABANDONED: VarInt = VarInt::from_u32(5);
}

/// Why an identity, or the cluster's authority, cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file with secrets can be read by everybody.
    #[error("{} holds secrets and its mode is {mode:o}: others must not read it; chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file's content makes no sense.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        what: String,
    },
    /// The name is no name.
    #[error("{0:?} cannot be a member's name: 1 to 63 of a-z, 0-9, '.' and '-' are")]
    Name(String),
    /// A certificate or a request for one is not acceptable.
    #[error("{0}")]
    Certificate(String),
}

/// Why a node could not join, or its certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The name, or what was made for it, is not acceptable.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The supernode refused; the reason is its own.
    #[error("the supernode refused: {0}")]
    Refused(String),
    /// Whoever answered is not the cluster that the join string names.
    #[error("{address} is not the cluster of this join string: {reason}")]
    WrongCluster {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// No supernode answered.
    #[error("no supernode could be reached: {0}")]
    Transport(#[from] TransportError),
}

/// Why a conversation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The address is none, or its name cannot be resolved.
    #[error("{address}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// The cause.
        reason: String,
    },
    /// Nobody answers there.
    #[error("{address} is not reached: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// The cause.
        reason: String,
    },
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// It took too long.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The connection or the endpoint is closed.
    #[error("the connection is closed")]
    Closed,
    /// The peer closed the connection, and said why.
    #[error("the peer closed the connection: {0}")]
    Refused(String),
    /// The peer gave up the stream before its end.
    #[error("the peer gave up the stream")]
    Abandoned,
    /// The stream ended within a message.
    #[error("the stream ended within a message")]
    Truncated,
    /// Somebody else answered.
    #[error("{expected} was expected, {actual} answered")]
    WrongPeer {
        /// Who was expected.
        expected: String,
        /// Who answered.
        actual: String,
    },
    /// The peer's certificate is not to be believed, or it does not believe ours.
    #[error("no trust between the peers: {0}")]
    Untrusted(String),
    /// A message is too long or cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Too many connections are open.
    #[error("too many connections are open")]
    Full,
    /// The connection carries only what its other end asks.
    #[error("this connection carries the other side's requests only")]
    OneWay,
    /// The identity cannot be used for TLS.
    #[error("the identity cannot be used: {0}")]
    Identity(String),
}

impl TransportError {
    /// Whether the same may go well at another time.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::Closed
            | Self::Refused(_)
            | Self::Abandoned
            | Self::Truncated
            | Self::Full => true,
            Self::Listen { .. }
            | Self::WrongPeer { .. }
            | Self::Untrusted(_)
            | Self::Frame(_)
            | Self::OneWay
            | Self::Identity(_) => false,
        }
    }

    pub(crate) fn unreachable(address: impl ToString, reason: impl ToString) -> Self {
        Self::Unreachable { address: address.to_string(), reason: reason.to_string() }
    }
}

/// TLS alerts travel as QUIC error codes 0x100 to 0x1ff (RFC 9001, section 4.8).
fn is_tls_alert(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

impl From<ConnectionError> for TransportError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::Timeout,
            ConnectionError::ApplicationClosed(close) if close.error_code == code::DONE => {
                Self::Closed
            }
            ConnectionError::ApplicationClosed(close) if close.error_code == code::FULL => {
                Self::Full
            }
            ConnectionError::ApplicationClosed(close) => {
                Self::Refused(shorten(&String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::ConnectionClosed(close) if is_tls_alert(close.error_code.into()) => {
                Self::Untrusted(format!("the peer refused our certificate ({})", close.error_code))
            }
            ConnectionError::ConnectionClosed(close) => Self::Refused(close.error_code.to_string()),
            ConnectionError::TransportError(error) if is_tls_alert(error.code.into()) => {
                Self::Untrusted(error.reason)
            }
            ConnectionError::TransportError(error) => Self::Refused(error.to_string()),
            ConnectionError::VersionMismatch
            | ConnectionError::Reset
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => Self::Closed,
        }
    }
}

fn stopped(reason: VarInt) -> TransportError {
    if reason == code::GARBAGE {
        TransportError::Refused("the request did not come in time, or is none".into())
    } else {
        TransportError::Abandoned
    }
}

impl From<ReadError> for TransportError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(reason) => stopped(reason),
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Closed,
        }
    }
}

impl From<WriteError> for TransportError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(reason) => stopped(reason),
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Closed,
        }
    }
}

/// What a byte stream's error means: quinn's comes wrapped, a TCP socket's is itself.
impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(read) = inner.and_then(|inner| inner.downcast_ref::<ReadError>()) {
            return read.clone().into();
        }
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Untrusted(tls.to_string());
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Self::Abandoned,
            _ => Self::Refused(error.to_string()),
        }
    }
}
