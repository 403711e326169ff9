//! Who sends which piece to whom: events in, decisions out. Pure.
//!
//! [`Swarm`] is a state machine without I/O, clock or randomness of its own, so that the same code
//! runs in the supernode, in a simulator of ten thousand nodes, and under property tests. Tell it
//! what happened with [`Swarm::apply`]; after a batch of events, and at [`Swarm::next_timer`], ask
//! it with [`Swarm::plan`] what is to be done. What it decides and why is argued in
//! `docs/scheduling.md`. Read it in this order:
//!
//! - [`event`], [`decision`], [`policy`]: what goes in, what comes out, what it is tuned by;
//! - `task`: who holds, asks for and wants which piece, with the counts that make up rarity;
//! - `choose`: which run one node should take from another;
//! - [`swarm`]: the leases, and the matching of those who can give with those who need.

pub mod decision;
pub mod event;
pub mod policy;

pub mod swarm;

mod bits;
mod choose;
mod node;
mod pipe;
mod rate;
mod slab;
mod task;

pub use decision::{Decision, Lease, LeaseId};
pub use event::{Blame, Event, Millis, NodeFacts, NodeId, Priority, Want};
pub use policy::Policy;
pub use swarm::Swarm;
pub use swarm::snapshot::{NodeView, Stats, TaskView};
