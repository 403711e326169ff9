//! Writing pieces, and the moment when a task is whole.

use content::{PieceDigest, PieceIndex, Provisional, TaskId, Verified, Whole};
use sparse::SparseError;
use sparse::steps::step;

use crate::error::{CompleteError, PutError};
use crate::lock::lock;
use crate::task::Task;

impl Task {
    /// Keeps a verified piece. When this returns, the piece is present and survives a kill. A
    /// piece that is present already is left alone.
    ///
    /// # Errors
    /// If it is not a piece of this task, or the disk takes no more. The piece itself is fine.
    pub fn put(&self, piece: &Verified) -> Result<(), PutError> {
        if piece.task() != self.id || piece.layout() != self.layout {
            return Err(self.foreign(piece.task(), piece.index()));
        }
        let (index, bytes) = (piece.index(), piece.bytes());
        self.store_block(bytes.len(), || self.file.write(index, bytes))?;
        lock(&self.own).remove(&index);
        self.stored(index);
        Ok(())
    }

    /// Keeps a piece that is not yet known to be right, for readers on this node. A piece that is
    /// here already is left alone. A crash forgets it.
    ///
    /// # Errors
    /// If it is not a piece of this task, or the disk takes no more. The piece itself is what it
    /// was.
    pub fn put_provisional(&self, piece: &Provisional) -> Result<(), PutError> {
        let (index, bytes) = (piece.index(), piece.bytes());
        let place = piece.offset()..piece.offset() + bytes.len() as u64;
        if piece.task() != self.id || self.layout.extent(index) != Some(place) {
            return Err(self.foreign(piece.task(), index));
        }
        if self.has_present(index) {
            return Ok(());
        }
        let digest = PieceDigest::of(bytes);
        self.store_block(bytes.len(), || {
            // Held over the write, so that no provisional piece is ever seen without its digest.
            let mut own = lock(&self.own);
            let written = self.file.write_provisional(index, bytes)?;
            if written {
                own.insert(index, digest);
            }
            Ok(written)
        })?;
        self.stored(index);
        Ok(())
    }

    /// The whole was hashed on this node and matched: provisional pieces become pieces like any
    /// other, and their digests are kept, so that they can be verified after a restart without a
    /// supernode.
    ///
    /// The fact is about the bytes that were hashed. Whoever hashes begins anew when
    /// [`Self::watch`] told of pieces that went away meanwhile.
    ///
    /// # Errors
    /// If the fact is about something else, pieces are missing, or the disk takes no more; the
    /// task then stays as it was.
    pub fn complete(&self, whole: &Whole) -> Result<(), CompleteError> {
        if whole.task() != self.id || whole.length() != self.layout.length() {
            return Err(CompleteError::Foreign(self.id));
        }
        let local = self.local();
        if !local.is_full() {
            return Err(CompleteError::Missing {
                task: self.id,
                missing: local.capacity() - local.len(),
            });
        }
        // Before the pieces: it counts only while all of them are present.
        self.update_facts(|facts| facts.whole = Some(whole.digest()))?;
        step("whole entered");
        if let Err(error) = self.promote() {
            self.log_index(self.update_facts(|facts| facts.whole = None));
            return Err(error);
        }
        self.changed();
        Ok(())
    }

    /// Makes pieces of all provisional ones. Their digests reach the disk first: a recorded piece
    /// without a digest could not be verified after a restart.
    fn promote(&self) -> Result<(), CompleteError> {
        let own: Vec<_> = lock(&self.own).iter().map(|(index, digest)| (*index, *digest)).collect();
        if own.is_empty() {
            return Ok(());
        }
        self.with_entry(|index| index.add_digests(&self.id, &own))?;
        self.shared.index.flush()?;
        step("own digests kept");
        for (index, _) in own {
            let promoted = self.file.promote(index);
            promoted.map_err(|error| self.refused(error))?;
            lock(&self.own).remove(&index);
        }
        Ok(())
    }

    /// Forgets every piece: the whole turned out wrong.
    pub fn drop_all(&self) {
        self.log_index(self.update_facts(|facts| facts.whole = None));
        lock(&self.own).clear();
        let lost = self.present();
        for block in self.file.local().ones() {
            let index = PieceIndex::try_from(block).unwrap_or(PieceIndex::MAX);
            if let Err(error) = self.file.drop_block(index) {
                tracing::warn!(task = %self.id, index, %error, "a dropped piece could not be cleared");
            }
        }
        self.settle();
        self.shared.losses.tell(self.id, lost);
        self.changed();
    }

    /// Writes one block where there is room. A full disk is met by eviction once, and by an end of
    /// writing after that.
    fn store_block(
        &self,
        length: usize,
        write: impl Fn() -> Result<bool, SparseError>,
    ) -> Result<bool, PutError> {
        self.make_room(length as u64)?;
        let written = write().or_else(|error| {
            let full = matches!(error.as_io().map(std::io::Error::kind), Some(kind)
                if kind == std::io::ErrorKind::StorageFull || kind == std::io::ErrorKind::QuotaExceeded);
            // Some more than the piece, so that the next ones do not evict one task each.
            if full && self.evict_bytes(length as u64 * 16) {
                write()
            } else {
                Err(error)
            }
        });
        self.settle();
        written.map_err(|error| {
            self.changed(); // what stood in its place may be gone
            self.refused(error)
        })
    }

    fn make_room(&self, length: u64) -> Result<(), PutError> {
        if self.is_gone() {
            return Err(PutError::Gone { task: self.id });
        }
        self.shared.space.check()?;
        if let Some(store) = self.store.upgrade() {
            store.make_room(length)?;
        }
        Ok(())
    }

    fn evict_bytes(&self, bytes: u64) -> bool {
        let store = self.store.upgrade();
        store.is_some_and(|store| store.evict_bytes(bytes).tasks > 0)
    }

    fn refused(&self, error: SparseError) -> PutError {
        let error = PutError::of_sparse(self.id, error);
        self.shared.space.learn(&error);
        error
    }

    /// The piece is here: nobody doubts it any more, and waiters go on.
    fn stored(&self, index: PieceIndex) {
        lock(&self.doubtful).remove(index);
        self.touch();
        self.changed();
    }

    const fn foreign(&self, of: TaskId, index: PieceIndex) -> PutError {
        PutError::Foreign { task: self.id, of, index }
    }
}
