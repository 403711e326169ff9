//! What the caller was told.

use content::PieceIndex;

use crate::bits::Bits;
use crate::event::Priority;

/// What the caller was told of a task's need.
pub(crate) struct Told {
    /// As told, less what the cache got since.
    pub(crate) pieces: Bits,
    pub(crate) urgent: Option<(Priority, PieceIndex)>,
    /// Where to begin has to be worked out anew.
    pub(crate) hurried: bool,
}

impl Told {
    /// The cache got a piece: that is what the caller was told to do, and no news to it; but a
    /// blocked reader may wait for another now.
    pub(crate) fn arrived(&mut self, piece: PieceIndex) {
        self.pieces.clear(piece);
        self.hurried |= self.urgent == Some((Priority::Blocked, piece));
    }
}
