//! Who has the bytes of a data blob that are not in the chunk cache.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How badly bytes are wanted: a higher one overtakes a lower one everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgency {
    /// Somebody may want them later.
    Prefetch,
    /// A reader waits for them.
    Blocked,
}

/// How badly bytes are wanted, and until when: one limit over all tries.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// How badly.
    pub urgency: Urgency,
    /// When whoever wants them gives up.
    pub until: Instant,
}

impl Want {
    /// What is wanted within `limit` from now on.
    #[must_use]
    pub fn within(limit: Duration, urgency: Urgency) -> Self {
        let now = Instant::now();
        // A limit beyond what the clock can tell is as good as a year.
        let year = Duration::from_secs(365 * 24 * 3600);
        let until = now.checked_add(limit).or_else(|| now.checked_add(year)).unwrap_or(now);
        Self { urgency, until }
    }

    /// How long there is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// The bytes of one data blob, as it is stored: compressed, and not to be believed.
pub trait Source: Send + Sync + Debug {
    /// Exactly `length` bytes from `offset` on. May block, but not beyond the end of `want`.
    ///
    /// # Errors
    /// If they are not to be had, or there are fewer. Whether it is worth asking again, the error's
    /// kind says ([`may_pass`]).
    fn read(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes>;

    /// The same once more, because what came was not right: from somewhere else if there is
    /// somewhere else.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_again(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        self.read(offset, length, want)
    }

    /// Makes sure that the image's own place has this blob and that it is for us: others may have
    /// fetched what the cache holds of it. A source on this machine has nothing to be asked.
    ///
    /// # Errors
    /// If the answer is no, or does not come before `want` ends.
    fn confirm(&self, want: &Want) -> io::Result<()> {
        let _ = want;
        Ok(())
    }

    /// Is told that bytes which came from here were right, and again from time to time while they
    /// are in use: the blob is there, and for us.
    fn granted(&self) {}
}

/// Whether who was asked is away or too busy, and may be back. Everything else is an answer: that
/// there is no such blob, or that it is not for us.
#[must_use]
pub fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::BrokenPipe
            | Kind::TimedOut
            | Kind::Interrupted
            | Kind::WouldBlock
            | Kind::ResourceBusy
            | Kind::UnexpectedEof
    )
}
