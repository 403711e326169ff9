//! Which stream has to wait for which. Pure: the caller says what time it is.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wire::control::Priority;

/// A stream waits so long at most before it reads a piece, and so long at most for one piece of
/// another.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Who has got what it was blocked at mostly reads on at once. Others wait for that so long: if they
/// went on in between, what they have sent to them would be under way beside the next read.
pub(super) const READS_ON: Duration = Duration::from_millis(200);

/// The streams that read now, by number.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: u64,
    streams: BTreeMap<u64, Stream>,
    /// Until when who was blocked may read on, by registry.
    reads_on: BTreeMap<String, Instant>,
}

#[derive(Debug)]
struct Stream {
    host: String,
    /// How urgent its piece is, and when it was first wanted.
    piece: Option<(Priority, Instant)>,
}

impl Order {
    /// The number of one more stream.
    pub(super) fn join(&mut self, host: String) -> u64 {
        let number = self.next;
        self.next += 1;
        self.streams.insert(number, Stream { host, piece: None });
        number
    }

    pub(super) fn leave(&mut self, number: u64, now: Instant) {
        self.rest(number, now);
        self.streams.remove(&number);
    }

    pub(super) fn rest(&mut self, number: u64, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&number) {
            let blocked = stream.piece.take().is_some_and(|(was, _)| was == Priority::Blocked);
            let host = blocked.then(|| stream.host.clone());
            self.reads_on.retain(|_, until| *until > now);
            self.reads_on.extend(host.map(|host| (host, now + READS_ON)));
        }
    }

    /// A stream is about to read a piece. Says whether it is less urgent than what it read before.
    pub(super) fn wants(&mut self, number: u64, priority: Priority, now: Instant) -> bool {
        let before = self.streams.get(&number).and_then(|stream| stream.piece);
        let eased = before.is_some_and(|(before, _)| before < priority);
        if eased {
            self.rest(number, now);
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.piece = Some((priority, now));
        }
        eased
    }

    /// Until when a stream has to wait, if nothing changes before.
    pub(super) fn waits(&self, number: u64, now: Instant) -> Option<Instant> {
        let stream = self.streams.get(&number)?;
        let (own, _) = stream.piece?;
        let others = self.streams.values().filter(|other| other.host == stream.host);
        let urgent = others.filter_map(|other| other.piece).filter(|(priority, _)| *priority < own);
        let reads_on = self.reads_on.get(&stream.host).filter(|_| own > Priority::Blocked);
        let until = urgent.map(|(_, began)| began + PATIENCE).chain(reads_on.copied());
        until.filter(|until| *until > now).max()
    }
}
