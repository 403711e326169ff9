//! What a command line says.

use std::path::PathBuf;

use crate::driver::Driver;
use crate::node::Supply;

/// What a command line says of a daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the snapshotter calls it.
    pub id: Option<String>,
    /// The socket of whoever would keep its descriptors.
    pub supervisor: Option<PathBuf>,
    /// Where it mounts, or below which folder.
    pub mountpoint: PathBuf,
    /// The way into the kernel.
    pub driver: Driver,
    /// How chunks come and are kept.
    pub supply: Supply,
    /// Whether it waits for another one's descriptors, and mounts nothing itself.
    pub upgrade: bool,
}
