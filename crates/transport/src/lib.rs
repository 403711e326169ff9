//! The wire over QUIC: identities, connections, limits. Alone knows quinn.
//!
//! Read it in this order:
//!
//! - [`role`]: who somebody is, as a certificate says it;
//! - [`authority`], [`identity`]: the cluster's certificate authority, and what one member holds;
//! - [`join_string`], [`mod@join`]: the first contact of a node, and the renewal of its certificate;
//! - [`limits`]: what one endpoint bears;
//! - [`endpoint`]: one port, UDP and TCP, that dials and is dialled;
//! - [`connection`], [`stream`]: one peer, and one conversation with it.
//!
//! Everything is mutual TLS 1.3 inside one cluster. Messages travel over QUIC; bulk bytes travel
//! over TCP with the same identities where that can be had, because it costs little more than a third of
//! the CPU (`examples/bulk_cost.rs`).

pub mod authority;
pub mod connection;
pub mod endpoint;
pub mod error;
pub mod identity;
pub mod join;
pub mod join_string;
pub mod limits;
pub mod role;
pub mod stream;

mod bulk;
mod census;
mod certificate;
mod dial;
mod door;
mod gate;
mod hear;
mod keep;
mod listen;
mod pool;
mod tls;
mod verify;

pub use authority::Authority;
pub use connection::Connection;
pub use endpoint::{Endpoint, Expect};
pub use error::{IdentityError, JoinError, TransportError};
pub use identity::Identity;
pub use join::{join, renew};
pub use join_string::{JoinString, JoinStringError};
pub use limits::Limits;
pub use role::{PeerIdentity, Role, is_node_name};
pub use stream::{RecvHalf, SendHalf, Stream};
