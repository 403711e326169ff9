//! Reading pieces: what an earlier run recorded is verified at its first use, then trusted.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use content::{PieceBook, PieceDigest, PieceIndex};
use sparse::{SparseError, State};

use crate::error::ReadError;
use crate::lock::lock;
use crate::task::Task;

/// What a second look at a stored piece found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scrubbed {
    /// Its bytes on the disk are what they should be.
    Fine,
    /// They are not: the piece was dropped.
    Dropped,
    /// No digest of it is known.
    Unknown,
    /// There is no such piece, or it is provisional.
    Absent,
}

impl Task {
    /// A piece that may be shown to anybody: one that was verified in this run, or that is
    /// verified now against `book` or the digest that this node kept of its own. `None` if it is
    /// not here, is provisional, cannot be verified for want of a digest, or is no longer what it
    /// was; in the last case it is dropped and counted, and watchers are told.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_piece(
        &self,
        index: PieceIndex,
        book: &PieceBook,
    ) -> Result<Option<Bytes>, ReadError> {
        match self.read_block(index)? {
            Some((State::Present, bytes)) => Ok(Some(bytes)),
            Some((State::Recorded, bytes)) => self.first_use(index, bytes, book),
            _ => Ok(None),
        }
    }

    /// A provisional piece, for readers on this node only. `None` if the piece is not provisional.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_provisional(&self, index: PieceIndex) -> Result<Option<Bytes>, ReadError> {
        if self.file.state(index) != State::Provisional {
            return Ok(None);
        }
        match self.read_block(index)? {
            Some((State::Provisional, bytes)) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// Reads a piece from the disk itself, past the page cache, and compares it with its digest.
    /// A slow walk over all pieces finds what the disk lost before anybody asks for it.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn scrub(&self, index: PieceIndex, book: &PieceBook) -> Result<Scrubbed, ReadError> {
        if !matches!(self.file.state(index), State::Present | State::Recorded) {
            return Ok(Scrubbed::Absent);
        }
        let Some(digest) = self.digest(index, book) else {
            return Ok(Scrubbed::Unknown);
        };
        self.file.uncache(index);
        let read = self.read_block(index)?;
        self.file.uncache(index); // nobody asked for it: it need not stay in memory
        let Some((state, bytes)) = read else {
            return Ok(match self.file.state(index) {
                State::Absent => Scrubbed::Dropped,
                _ => Scrubbed::Absent,
            });
        };
        if PieceDigest::of(&bytes) == digest {
            self.confirm(index);
            return Ok(Scrubbed::Fine);
        }
        self.corrupt(index, state);
        Ok(Scrubbed::Dropped)
    }

    /// The digests that this node kept of pieces that it took from the origin itself, once the whole
    /// had matched: as good as signed ones, here.
    #[must_use]
    pub fn kept_digests(&self) -> Vec<(PieceIndex, PieceDigest)> {
        self.shared.index.digests(&self.id).unwrap_or_else(|error| {
            tracing::warn!(task = %self.id, %error, "kept digests cannot be read");
            Vec::new()
        })
    }

    /// The digest that a piece must have: what a supernode said, else what this node kept.
    fn digest(&self, index: PieceIndex, book: &PieceBook) -> Option<PieceDigest> {
        let told = (book.task() == self.id && book.layout() == self.layout)
            .then(|| book.digest(index))
            .flatten();
        told.or_else(|| {
            let kept = self.shared.index.digest(&self.id, index);
            kept.unwrap_or_else(|error| {
                tracing::warn!(task = %self.id, %error, "kept digests cannot be read");
                None
            })
        })
    }

    fn first_use(
        &self,
        index: PieceIndex,
        bytes: Bytes,
        book: &PieceBook,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(digest) = self.digest(index, book) else {
            self.doubt(index);
            return Ok(None);
        };
        if PieceDigest::of(&bytes) != digest {
            self.corrupt(index, State::Recorded);
            return Ok(None);
        }
        self.confirm(index);
        Ok(Some(bytes))
    }

    /// The piece was verified: it is trusted until the next start.
    fn confirm(&self, index: PieceIndex) {
        if self.file.confirm(index) {
            lock(&self.doubtful).remove(index);
            self.changed();
        }
    }

    /// Nobody can say whether the piece is right. It stays on disk and is not claimed until a
    /// statement comes.
    fn doubt(&self, index: PieceIndex) {
        if lock(&self.doubtful).insert(index) {
            tracing::debug!(task = %self.id, index, "a piece of an earlier run has no known digest");
            self.lost(index);
        }
    }

    /// The piece is not what it was: it goes, and the whole must be hashed again.
    pub(crate) fn corrupt(&self, index: PieceIndex, read_as: State) {
        tracing::warn!(task = %self.id, index, "a piece on disk is no longer what it was; it is dropped");
        self.shared.counters.corrupt.fetch_add(1, Ordering::Relaxed);
        self.log_index(self.update_facts(|facts| facts.whole = None));
        let dropped = match read_as {
            State::Recorded => self.file.reject(index).map(|_| ()),
            _ => self.file.drop_block(index),
        };
        if let Err(error) = dropped {
            tracing::warn!(task = %self.id, index, %error, "its place on disk could not be cleared");
        }
        self.settle();
        self.lost(index);
    }

    /// A piece went: who was told of it, and who waits for it, learn so.
    fn lost(&self, index: PieceIndex) {
        self.shared.losses.tell_one(self.id, index, self.layout.pieces());
        self.changed();
    }

    /// A block's bytes. A place that the disk cannot read any more holds no piece.
    fn read_block(&self, index: PieceIndex) -> Result<Option<(State, Bytes)>, ReadError> {
        let held = self.file.state(index);
        match self.file.read_block(index) {
            Ok(Some((state, bytes))) => Ok(Some((state, Bytes::from(bytes)))),
            Ok(None) => {
                if held != State::Absent && self.file.state(index) == State::Absent {
                    // Cut off from outside, or dropped by another reader just now.
                    self.settle();
                    self.lost(index);
                }
                Ok(None)
            }
            Err(error) if is_bad_place(&error) => {
                self.corrupt(index, held);
                Ok(None)
            }
            Err(source) => Err(ReadError { task: self.id, source }),
        }
    }
}

fn is_bad_place(error: &SparseError) -> bool {
    let code = error.as_io().and_then(std::io::Error::raw_os_error);
    code == Some(rustix::io::Errno::IO.raw_os_error())
}
