//! The readers of a task: what each wants counts until it goes.

use std::sync::Arc;

use content::{PieceIndex, Run};

use super::LiveTask;
use crate::demand::Want;
use crate::lock::lock;

impl LiveTask {
    /// A reader begins: what it wants counts until the returned demand is dropped.
    pub(crate) fn demand(self: &Arc<Self>, want: Want) -> DemandGuard {
        let number = lock(&self.demand).add(want);
        self.replan();
        DemandGuard { live: Arc::clone(self), number, told: want }
    }

    /// What each reader wants.
    pub(crate) fn readers(&self) -> Vec<Want> {
        lock(&self.demand).readers()
    }

    /// The piece that the reader behind of those that wait is at.
    pub(crate) fn waiting_reader(&self) -> Option<PieceIndex> {
        lock(&self.demand).waiting()
    }

    /// What all readers want together.
    #[must_use]
    pub fn want(&self) -> Option<Want> {
        let together = lock(&self.demand).together();
        together.and_then(|all| self.narrowed(all))
    }

    pub(crate) fn replan(self: &Arc<Self>) {
        self.plan.wanted(self);
        if self.is_unkept() {
            // After the want: what has passed lies before it, and what a later reader wants again has
            // to be told, or nobody would bring it.
            self.tell_gone(Run::EMPTY);
        }
    }
}

/// One reader's part in the demand on a task. Dropping it takes the part back.
#[derive(Debug)]
pub(crate) struct DemandGuard {
    live: Arc<LiveTask>,
    number: u64,
    told: Want,
}

/// A reader's move of so many pieces is told to the plan: a quarter of the scheduler's window.
const STEP: u32 = 16;

impl DemandGuard {
    /// The reader has moved. Small moves are not told on: the plan looks far enough ahead.
    pub(crate) fn moved(&mut self, want: Want) {
        lock(&self.live.demand).update(self.number, want);
        self.live.release_passed();
        let far = want.reader_at.abs_diff(self.told.reader_at) >= self.live.step(STEP)
            || want.run != self.told.run
            || want.priority != self.told.priority;
        if far {
            self.told = want;
            self.live.replan();
        }
    }

    /// Whether the reader waits for the piece that it is at.
    pub(crate) fn waits(&self, waits: bool) {
        lock(&self.live.demand).set_waiting(self.number, waits);
        if self.live.is_unkept() {
            self.live.replan();
        }
    }
}

impl Drop for DemandGuard {
    fn drop(&mut self) {
        let last = lock(&self.live.demand).remove(self.number);
        if last {
            self.live.end_passing();
        } else {
            self.live.release_passed();
        }
        self.live.replan();
    }
}

/// The run of pieces at and after `at` that a reader wants in front of it.
#[must_use]
pub(crate) fn ahead(at: PieceIndex, end: PieceIndex, window: Option<u32>) -> Run {
    let end = window.map_or(end, |window| at.saturating_add(window).min(end));
    Run { first: at, end }
}
