//! The control plane: schedules, pulls each registry blob from its origin once, signs what nodes
//! may believe.
//!
//! - [`config`]: what an operator may say; [`app`]: the parts, in the order of their dependence;
//! - [`door`]: who comes in: control streams, questions, requests for pieces;
//! - [`answer`]: questions about blobs, manifests and pages, with the two facts of access;
//! - [`swarm`]: the scheduler's one owner; `wanted`: the tasks that are not to go; [`session`]: one
//!   node's control stream; [`counters`]: what of its talk was not believed.

pub mod answer;
pub mod app;
pub mod config;
pub mod counters;
pub mod door;
pub mod session;
pub mod swarm;
mod wanted;
