//! The node agent: registry mirror in front, swarm peer behind.
//!
//! - [`config`]: what an operator may say; [`app`]: the parts, in the order of their dependence;
//! - [`mirror`]: what containerd and others talk to; [`gateway`]: from a question to a
//!   task; [`grants`], [`manifests`]: what it may answer again, and with what;
//! - `cluster`: the node as a member; [`link`]: the supernode; [`lone`], [`search`]: life without one; [`tickets`]: leave to fetch;
//! - [`local`]: the door for `dfget`; [`cache`]: what the node keeps, for its operator;
//! - [`serve`]: pieces for other nodes.

pub mod app;
pub mod cache;
mod cluster;
pub mod config;
pub mod gateway;
pub mod grants;
pub mod link;
pub mod local;
pub mod lone;
pub mod manifests;
mod memory;
pub mod mirror;
pub mod search;
pub mod serve;
pub mod tickets;
