//! How bytes go: a segment for others, what is damaged, or the whole file.

use std::time::Instant;

use super::CachedBlob;
use crate::device;
use crate::lock::lock;
use crate::room::{Segment, run};

impl CachedBlob {
    /// Gives back what lies in a segment, but for what is being written. A file that has served as a
    /// device goes as a whole, once it serves none.
    pub fn evict(&self, segment: Segment) {
        let users = lock(&self.users);
        if users.ever() {
            if !users.now() {
                self.give_up();
            }
            return;
        }
        let free = lock(&self.ledger).forget(segment.blocks());
        for blocks in free {
            if let Err(error) = self.file.drop_run(run(&blocks)) {
                self.refused(&error, "drop from");
            }
            self.account(&blocks);
        }
    }

    /// Whether the blob's next cache is another one: the file was given up, or there was none.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        *lock(&self.gone) || self.again.is_some_and(|again| Instant::now() >= again)
    }

    /// Removes the file; who has it open reads on. Once is enough: what stands there later is
    /// another's.
    pub(crate) fn give_up(&self) {
        let mut gone = lock(&self.gone);
        if std::mem::replace(&mut *gone, true) {
            return;
        }
        // Without a file, what stands there is not ours.
        if self.again.is_none() {
            match self.file.delete() {
                Ok(()) => device::unmark(self.file.path()),
                Err(error) => self.refused(&error, "remove"),
            }
        }
        self.room.recount(self.key, &self.file);
    }

    /// Drops blocks whose bytes are not what they should be.
    pub(super) fn discard(&self, run: std::ops::Range<u32>) {
        // Held until they are gone: nobody makes it a device meanwhile.
        let users = lock(&self.users);
        if users.ever() {
            self.give_up();
        } else if let Err(error) = self.file.drop_run(run) {
            self.refused(&error, "drop from");
        }
        drop(users);
    }
}
