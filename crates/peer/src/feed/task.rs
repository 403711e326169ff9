//! One task's feed: who may read it at the origin, what is needed of it, and its stream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use content::{PieceIndex, PieceSet, TaskId};
use registry::RequestId;
use tokio::sync::{OnceCell, watch};
use wire::control::Priority;

use crate::access::CallerId;
use crate::live::{End, LiveTask};
use crate::lock::lock;
use crate::origin::{Origin, OriginStream};

/// One task's stream.
pub(super) struct Feed {
    pub(super) id: TaskId,
    /// Held while the origin is asked what the task is. The answer is not kept here: a handle to the
    /// task would keep it from being evicted.
    pub(super) describing: tokio::sync::Mutex<()>,
    /// Who the origin first gave it to.
    pub(super) granted_to: OnceCell<CallerId>,
    /// Who may read it at the origin, the latest asker last.
    pub(super) askers: Mutex<Vec<Asker>>,
    pub(super) open: tokio::sync::Mutex<Option<Open>>,
    pub(super) need: watch::Sender<Need>,
    /// How many wait for all of it, whatever the scheduler needs.
    pub(super) inline: AtomicUsize,
    pub(super) running: Mutex<bool>,
    /// How the task ended that was last fed.
    end: Mutex<Option<watch::Receiver<End>>>,
}

impl Feed {
    pub(super) fn new(id: TaskId) -> Self {
        Self {
            id,
            describing: tokio::sync::Mutex::default(),
            granted_to: OnceCell::new(),
            askers: Mutex::default(),
            open: tokio::sync::Mutex::default(),
            need: watch::Sender::default(),
            inline: AtomicUsize::new(0),
            running: Mutex::default(),
            end: Mutex::default(),
        }
    }

    /// Somebody may read it at the origin; who asks again takes nobody else's place.
    pub(super) fn asked(&self, asker: Asker) {
        let mut askers = lock(&self.askers);
        askers.retain(|known| !known.origin.is_same(&asker.origin));
        askers.push(asker);
        if askers.len() > ASKERS {
            askers.remove(0);
        }
    }

    /// The attempt whose end [`Self::has_failed`] tells from now on.
    pub(super) fn follow(&self, live: &LiveTask) {
        *lock(&self.end) = Some(live.end());
    }

    /// How urgent its next piece is.
    pub(super) fn urgency(&self) -> Priority {
        let needed = self.need.borrow().priority;
        let inline = self.inline.load(Ordering::Relaxed) > 0;
        if inline { needed.min(Priority::Pull) } else { needed }
    }

    /// The registry or server that it comes from, as far as anybody said.
    pub(super) fn host(&self) -> String {
        let askers = lock(&self.askers);
        askers.last().map(|asker| asker.origin.host().to_owned()).unwrap_or_default()
    }

    /// Whether the task that was last fed came to nothing.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.end).as_ref().is_some_and(|end| matches!(*end.borrow(), End::Failed(_)))
    }
}

/// An open stream, and in whose name it was asked for.
pub(super) struct Open {
    pub(super) origin: Origin,
    pub(super) stream: OriginStream,
}

/// Somebody who may read a task at its origin.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) origin: Origin,
    /// The request by which that was learned.
    pub(super) request: Option<RequestId>,
}

/// So many askers of one task are remembered, to go on in another's name when one's credential
/// ends.
const ASKERS: usize = 8;

/// What is needed of a task from the origin.
#[derive(Clone, Debug)]
pub struct Need {
    /// The pieces.
    pub pieces: PieceSet,
    /// The one that somebody waits for.
    pub urgent: Option<PieceIndex>,
    /// The highest priority that waits for any of them.
    pub priority: Priority,
}

impl Default for Need {
    fn default() -> Self {
        Self { pieces: PieceSet::default(), urgent: None, priority: Priority::Preheat }
    }
}

/// Somebody waits for all of a task.
pub(super) struct Waiting(Arc<Feed>);

impl Waiting {
    pub(super) fn new(feed: &Arc<Feed>) -> Self {
        feed.inline.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(feed))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inline.fetch_sub(1, Ordering::Relaxed);
    }
}
