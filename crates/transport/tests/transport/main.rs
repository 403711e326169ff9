//! Endpoints of one cluster, and of others, against each other on loopback.

mod exchange;
mod files;
mod joining;
mod limits;
mod rig;
mod rubbish;
mod trust;
