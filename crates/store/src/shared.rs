//! What a store and its tasks share.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use content::TaskId;
use sparse::Quota;

use crate::clock::Clock;
use crate::config::{Limits, StoreConfig};
use crate::index::Index;
use crate::lock::lock;
use crate::losses::Losses;
use crate::space::{Space, size_and_free};

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
    limits: Mutex<Limits>,
    pub(crate) config: StoreConfig,
    pub(crate) space: Space,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) serials: AtomicU64,
    pub(crate) losses: Losses,
    /// Locked while it is open; the kernel lets go of it when the process ends, however it ends.
    pub(crate) _lock: File,
}

impl Shared {
    /// What a store and its tasks share, before any task is known.
    pub(crate) fn new(
        config: StoreConfig,
        folder: &Path,
        index: Index,
        held: u64,
        file: File,
    ) -> std::io::Result<Self> {
        let (size, free) = size_and_free(folder)?;
        let limits = Limits::of(&config, size, free, held);
        Ok(Self {
            index,
            quota: Quota::new(limits.high, limits.low),
            limits: Mutex::new(limits),
            config,
            space: Space::new(folder.to_owned(), limits.reserve),
            clock: Clock::default(),
            counters: Counters::default(),
            serials: AtomicU64::new(0),
            losses: Losses::default(),
            _lock: file,
        })
    }

    /// How much may be held now.
    pub(crate) fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// Where nobody chose a quota, it follows from what the file system has, of which others take and
    /// give back.
    pub(crate) fn look_at_limits(&self) {
        let Ok((size, free)) = self.space.size_and_free() else {
            return;
        };
        let limits = Limits::of(&self.config, size, free, self.quota.total());
        *lock(&self.limits) = limits;
        self.quota.set_watermarks(limits.high, limits.low);
    }
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) corrupt: AtomicU64,
    pub(crate) evicted_tasks: AtomicU64,
    pub(crate) evicted_bytes: AtomicU64,
}
