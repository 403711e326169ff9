//! Who needs a piece, and how soon.

use content::{PieceIndex, Run};

use crate::demand::Want;

/// Who needs pieces: those at or ahead of a reader, and those that the SHA-256 pass comes to.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    /// The readers.
    pub(crate) readers: &'a [Want],
    /// The pieces between the pass and the first that is not here.
    pub(crate) hash: Run,
}

impl Needs<'_> {
    /// How far the piece is ahead of the nearest reader that comes to it; `None` if no reader does.
    pub(super) fn distance(&self, index: PieceIndex) -> Option<u32> {
        let coming = self.readers.iter().filter(|r| r.reader_at <= index && index < r.run.end);
        coming.map(|reader| index - reader.reader_at).min()
    }

    pub(super) fn has(&self, index: PieceIndex) -> bool {
        self.hash.contains(index) || self.distance(index).is_some()
    }
}
