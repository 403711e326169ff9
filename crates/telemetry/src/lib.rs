//! Logs, metrics, health, configuration and shutdown: the same for every binary.
//!
//! A binary meets them in this order:
//!
//! - [`config`]: defaults < file < environment, then the caller's flags; [`units`] and [`secret`]
//!   are the types that its values are made of;
//! - [`logs`]: tracing to stderr, text for people and JSON for machines; [`recent`]: what it said last;
//! - [`lifecycle`]: parts by name, SIGTERM, SIGHUP, the grace time, systemd;
//! - [`metrics`] and [`health`]: what `/metrics` and `/readyz` say;
//! - [`request_id`]: the one id that a request keeps from the mirror to the origin.

pub mod config;
pub mod health;
pub mod lifecycle;
pub mod logs;
pub mod metrics;
pub mod recent;
pub mod request_id;
pub mod secret;
pub mod units;

mod process;
