//! What the tests of the scheduler stand on: a simulator of the nodes and their links, and a
//! checker that follows every event and decision.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

pub mod calendar;
pub mod checker;
pub mod net;
pub mod report;
pub mod rng;
pub mod setup;
pub mod sim;
