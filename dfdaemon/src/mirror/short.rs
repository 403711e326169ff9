//! Answers that ended short of their announced length a short time ago.
//!
//! A client resumes such an answer with `bytes=N-`. It must not get wrong bytes then: no SHA-256
//! over the whole holds the end of a part back. Nor must it get a 206 without a byte time and
//! again: containerd gives the pull up at the fourth. An error at the request sends it on to the
//! next host for the rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use content::TaskId;

/// Clients resume within milliseconds; later ones may find the origin in a better state.
const LATELY: Duration = Duration::from_secs(30);

/// So long a task is not begun again whose answer ended before its first byte.
const AT_ONCE: Duration = Duration::from_secs(3);

/// So many ends are remembered.
const MOST: usize = 10_000;

/// How an answer ended short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// The whole is not what its digest says.
    Wrong,
    /// Before the first byte of the answer.
    Empty,
}

/// The answers that ended short lately, by task.
#[derive(Debug, Default)]
pub struct ShortEnds {
    ends: Mutex<HashMap<TaskId, (Short, Instant)>>,
}

impl ShortEnds {
    /// An answer about `task` ended short.
    pub fn note(&self, task: TaskId, short: Short) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() >= MOST {
            ends.retain(|_, (_, at)| at.elapsed() < LATELY);
        }
        if ends.len() < MOST {
            ends.insert(task, (short, Instant::now()));
        }
    }

    /// Whether a client that asks for `task` now is to be sent on; `resumes` if it asks for the
    /// rest and not for all.
    #[must_use]
    pub fn forbid(&self, task: &TaskId, resumes: bool) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(task).is_some_and(|(short, at)| match short {
            Short::Wrong => resumes && at.elapsed() < LATELY,
            Short::Empty => at.elapsed() < if resumes { LATELY } else { AT_ONCE },
        })
    }
}

#[cfg(test)]
mod tests {
    use content::Digest;

    use super::*;

    #[test]
    fn who_resumes_is_sent_on_and_who_begins_anew_may_try() {
        let ends = ShortEnds::default();
        let [wrong, empty, other] = [b"a", b"b", b"c"].map(|name| TaskId::Blob(Digest::of(name)));
        ends.note(wrong, Short::Wrong);
        ends.note(empty, Short::Empty);
        assert!(ends.forbid(&wrong, true) && !ends.forbid(&wrong, false));
        assert!(ends.forbid(&empty, true) && ends.forbid(&empty, false));
        assert!(!ends.forbid(&other, true));
    }
}
