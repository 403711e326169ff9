//! How a task ends: it is whole, or it came to nothing, and all who wait are told.

use std::time::Duration;

use content::Whole;
use store::CompleteError;
use tokio::sync::watch;
use wire::request::Kind;

use super::LiveTask;
use super::book::recall;
use crate::failure::Failure;
use crate::lock::lock;

/// How a task ended, if it has.
#[derive(Clone, Debug)]
pub enum End {
    /// Not all of it has come and been hashed.
    Open,
    /// All of it is here and is what its name says.
    Whole,
    /// It came to nothing.
    Failed(Failure),
}

/// A stopped task's failure is told within this time, if there is one.
const TELL_WITHIN: Duration = Duration::from_secs(1);

impl LiveTask {
    /// All of it was hashed and matched: provisional pieces become pieces, and readers get the end.
    pub(crate) fn complete(&self, whole: &Whole) {
        let kept = if self.is_unkept() { Ok(()) } else { self.stored.complete(whole) };
        match kept {
            Err(error @ (CompleteError::Missing { .. } | CompleteError::Foreign(_))) => {
                let message = format!("the store cannot keep the task: {error}");
                return self.fail(Failure::new(Kind::Other, message));
            }
            // What was hashed is right all the same; it is hashed again when it is next wanted.
            Err(error @ (CompleteError::Put(_) | CompleteError::Index(_))) => {
                tracing::warn!(task = %self.id(), %error, "the store does not record that the whole matched");
            }
            Ok(()) => recall(&mut lock(&self.book), &self.stored),
        }
        if self.ends(End::Whole) {
            self.metrics.verified();
            tracing::debug!(task = %self.id(), "whole and verified");
        }
    }

    /// It came to nothing: whoever waits for it is told why.
    pub fn fail(&self, failure: Failure) {
        self.ends(End::Failed(failure));
        self.stop.cancel();
    }

    /// A task ends once: what its readers were told first holds.
    fn ends(&self, end: End) -> bool {
        self.end.send_if_modified(|now| {
            let first = matches!(now, End::Open);
            if first {
                *now = end;
            }
            first
        })
    }

    /// How the task ended, now and as it changes.
    #[must_use]
    pub fn end(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// Whether all of it was here and matched, in this run or an earlier one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(*self.end.borrow(), End::Whole)
    }

    /// Whether it came to nothing.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(*self.end.borrow(), End::Failed(_))
    }

    /// Whether nothing more is to be brought: it is about to fail, has failed, or was let go of.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the whole was hashed and matched.
    ///
    /// # Errors
    /// If it came to nothing.
    pub async fn until_whole(&self) -> Result<(), Failure> {
        let mut end = self.end();
        loop {
            match &*end.borrow_and_update() {
                End::Whole => return Ok(()),
                End::Failed(failure) => return Err(failure.clone()),
                End::Open => {}
            }
            if end.changed().await.is_err() {
                return Err(Failure::new(Kind::Other, "the task was let go"));
            }
        }
    }

    /// Why the task's bytes cannot be had: because it failed, or else `seen`. A task that fails is
    /// removed and stopped too, and a reader may see that before it is told why.
    pub(crate) async fn cause(&self, seen: impl Into<String>) -> Failure {
        match tokio::time::timeout(TELL_WITHIN, self.until_whole()).await {
            Ok(Err(failure)) => failure,
            _ => Failure::new(Kind::Other, seen),
        }
    }

    /// Why a task was stopped: the failure that is being told just now, if it is one.
    pub(crate) async fn why_stopped(&self) -> Failure {
        self.cause("nobody wants the task any more").await
    }
}
