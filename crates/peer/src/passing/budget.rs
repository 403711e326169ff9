//! The memory for what is not kept, and each task's share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much memory all tasks that are not kept may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    users: AtomicU64,
}

/// One task's part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Arc<Budget>);

/// However many tasks share the memory, each has so much: enough for some of the largest pieces.
const LEAST: u64 = 4 << 20;

/// So much is asked for ahead of a reader, and no more: the rest of a share is for what comes out of
/// order.
const AHEAD: u64 = 16 << 20;

impl Budget {
    /// `total` bytes for all.
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, users: AtomicU64::new(0) })
    }

    /// A part of it.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        self.users.fetch_add(1, Ordering::Relaxed);
        Share(Arc::clone(self))
    }
}

impl Share {
    /// How many bytes the task may hold.
    pub(crate) fn bytes(&self) -> u64 {
        let users = self.0.users.load(Ordering::Relaxed).max(1);
        (self.0.total / users).max(LEAST)
    }

    /// How many pieces of `size` bytes are asked for ahead of a reader.
    pub(crate) fn ahead(&self, size: u64) -> u32 {
        // As much again may wait for the SHA-256 pass, and some comes out of order.
        let bytes = (self.bytes() / 4).clamp(LEAST / 2, AHEAD);
        u32::try_from(bytes / size.max(1)).unwrap_or(u32::MAX).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}
