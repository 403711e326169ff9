//! Telling what the store no longer holds, whatever the reason: eviction, removal, damage.

use std::fmt;
use std::sync::OnceLock;

use content::{PieceIndex, PieceSet, TaskId};

/// Hears of lost pieces. It returns at once, and asks nothing of the store: the store is in the
/// middle of a change.
pub(crate) type Hear = Box<dyn Fn(TaskId, PieceSet) + Send + Sync>;

/// Who hears of lost pieces; nobody, until somebody wants to.
#[derive(Default)]
pub(crate) struct Losses {
    hear: OnceLock<Hear>,
}

impl Losses {
    /// From now on `hear` is told. The first one stays.
    pub(crate) fn listen(&self, hear: Hear) {
        if self.hear.set(hear).is_err() {
            tracing::debug!("somebody else is told of lost pieces already");
        }
    }

    /// Pieces that might have been claimed are no more.
    pub(crate) fn tell(&self, task: TaskId, pieces: PieceSet) {
        if let Some(hear) = self.hear.get().filter(|_| !pieces.is_empty()) {
            hear(task, pieces);
        }
    }

    /// One piece of `count` is no more.
    pub(crate) fn tell_one(&self, task: TaskId, index: PieceIndex, count: u32) {
        let mut pieces = PieceSet::none(count);
        pieces.insert(index);
        self.tell(task, pieces);
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Losses").field("heard", &self.hear.get().is_some()).finish()
    }
}
