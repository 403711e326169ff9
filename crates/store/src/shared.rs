//! What a store and its tasks share.

use std::fs::File;
use std::sync::atomic::AtomicU64;

use content::TaskId;
use sparse::Quota;

use crate::clock::Clock;
use crate::config::Limits;
use crate::index::Index;
use crate::losses::Losses;
use crate::space::Space;

/// The name of a task's account. A task that is removed and made again is another file, whatever
/// somebody may still do with the old one's handle; hence the serial number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Account {
    pub(crate) serial: u64,
    pub(crate) id: TaskId,
}

/// What a store and its tasks share. It lives as long as any of them, and with it the lock.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) index: Index,
    pub(crate) quota: Quota<Account>,
    pub(crate) limits: Limits,
    pub(crate) space: Space,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) serials: AtomicU64,
    pub(crate) losses: Losses,
    /// Locked while it is open; the kernel lets go of it when the process ends, however it ends.
    pub(crate) _lock: File,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) corrupt: AtomicU64,
    pub(crate) evicted_tasks: AtomicU64,
    pub(crate) evicted_bytes: AtomicU64,
}
