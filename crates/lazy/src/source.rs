//! Who has the bytes of a data blob that are not in the chunk cache.

use std::fmt::Debug;
use std::io;

use bytes::Bytes;

/// How badly bytes are wanted: a higher one overtakes a lower one everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgency {
    /// Somebody may want them later.
    Prefetch,
    /// A reader waits for them.
    Blocked,
}

/// The bytes of one data blob, as it is stored: compressed, and not to be believed.
pub trait Source: Send + Sync + Debug {
    /// Exactly `length` bytes from `offset` on. May block; must end within the limit that the
    /// source's own configuration has.
    ///
    /// # Errors
    /// If they are not to be had, or there are fewer.
    fn read(&self, offset: u64, length: u64, urgency: Urgency) -> io::Result<Bytes>;

    /// The same once more, because what came was not right: from somewhere else if there is
    /// somewhere else.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_again(&self, offset: u64, length: u64, urgency: Urgency) -> io::Result<Bytes> {
        self.read(offset, length, urgency)
    }
}
