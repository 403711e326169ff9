//! The threads that prefetch for one mount.
//!
//! What an earlier run has left they check, one at a time in the process, and fetch what is wrong. They
//! stop while readers wait, keep within the rate, and end when the image is here, when the mount
//! ends, or when the cache takes no more. While who has the chunks is away, or the cache's disk keeps
//! nothing, they try again, ever less often.

mod watch;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lazy::patience::is_outage;
use lazy::{Checked, Extent, LazyImage, Outcome, Plan, ReadError, Step, Urgency, Want};
use rafs::bootstrap::Nid;
use sys::Mapping;

use super::first;
use super::order::PrefetchOrder;
use super::pace::{Paces, Together};
use super::progress::Progress;
use crate::fuse::readers::Readers;
use crate::lock::lock;

pub use watch::Watch;

/// So many stored bytes are asked for at once: a second of a slow link, and no reader who wants one of
/// these chunks waits longer for it than for its own.
const MOST: u64 = 1 << 20;

/// So long one request may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How often it is seen whether readers still wait.
const LOOK: Duration = Duration::from_millis(20);

/// The first rest after a failure, and the longest: they double.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The same for the rest after a plan of which something did not come, or was not kept.
const AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// So many requests in a row of whose chunks the cache has kept none are the last for a while.
const UNKEPT: u32 = 4;

/// Prefetching for one mount. Ends soon after this is dropped.
#[derive(Debug)]
pub struct Prefetch {
    shared: Arc<Shared>,
}

/// What is to be done next.
enum Next {
    /// This, after the rate's wait.
    Step(Step, Duration),
    /// To ask again then.
    Later(Duration),
    /// Nothing any more.
    Nothing,
}

#[derive(Debug)]
struct Shared {
    /// What comes before the image's own list.
    first: Vec<Nid>,
    extent: Extent,
    progress: Progress,
    image: Arc<LazyImage<Mapping>>,
    readers: Readers,
    pace: Together,
    began: Instant,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    over: bool,
    /// Nothing is fetched before, from the beginning on.
    not_before: Duration,
    /// How long it rests if at the end of the plan something did not come.
    again: Duration,
    /// How many requests in a row brought only what was not kept.
    unkept: u32,
    /// How many chunks did not come.
    failed: usize,
    /// Whether what an earlier run has left was wrong: it is to be fetched too.
    damaged: bool,
}

impl Prefetch {
    /// Begins, unless nothing is wanted. Stops while any of `readers` waits, and keeps within its rate
    /// together with all others over `paces` that have the same.
    #[must_use]
    pub fn start(
        image: &Arc<LazyImage<Mapping>>,
        readers: &Readers,
        paces: &Paces,
        order: &PrefetchOrder,
    ) -> Option<Self> {
        let extent = order.extent()?;
        let first = first::inodes(image.bootstrap(), &order.first);
        let state = State {
            plan: Plan::new(image.bootstrap(), &first, extent),
            over: false,
            not_before: Duration::ZERO,
            again: AGAIN.0,
            unkept: 0,
            failed: 0,
            damaged: false,
        };
        let threads = order.threads.clamp(1, 16);
        let shared = Arc::new(Shared {
            first,
            extent,
            progress: Progress::begin(readers.traffic().tally(), threads, SystemTime::now()),
            image: Arc::clone(image),
            readers: readers.clone(),
            pace: paces.of(order.rate),
            began: Instant::now(),
            state: Mutex::new(state),
            ended: Condvar::new(),
        });
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("prefetch".to_owned());
            let working = Working(shared);
            if let Err(error) = thread.spawn(move || working.0.work()) {
                tracing::warn!(%error, "there is no thread to prefetch");
            }
        }
        Some(Self { shared })
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.ended.notify_all();
    }
}

/// A thread, until it ends, however it does.
struct Working(Arc<Shared>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.progress.thread_ends(SystemTime::now());
    }
}

impl Shared {
    fn work(&self) {
        let mut rest = RESTS.0;
        loop {
            match self.next() {
                Next::Nothing => return,
                Next::Later(time) if self.rest(time) => {}
                Next::Later(_) => return,
                Next::Step(step, wait) => {
                    let goes_on = self.rest(wait) && self.fetch(&step, &mut rest);
                    self.progress.put_down(&step);
                    if !goes_on {
                        return;
                    }
                }
            }
        }
    }

    /// Does a step, as often as it takes; false once it is over.
    fn fetch(&self, step: &Step, rest: &mut Duration) -> bool {
        loop {
            while self.readers.wait_for_chunks() {
                if !self.rest(LOOK) {
                    return false;
                }
            }
            if let Step::Check(chunk) = step {
                match self.image.check(chunk) {
                    Checked::Busy if self.rest(LOOK) => continue,
                    Checked::Busy => return false,
                    Checked::Missing => lock(&self.state).damaged = true,
                    Checked::Done => {}
                }
                return true;
            }
            let began = Instant::now();
            match self.image.prefetch(step, &Want::within(LIMIT, Urgency::Prefetch)) {
                Ok(outcome) => {
                    *rest = RESTS.0;
                    self.progress.answered(step, &outcome, began.elapsed());
                    self.count(outcome);
                    return true;
                }
                Err(error) => {
                    tracing::debug!(%error, ?rest, "prefetching rests");
                    if !self.rest(*rest) {
                        return false;
                    }
                    *rest = rest.saturating_mul(2).min(RESTS.1);
                    if !passes(&error) {
                        self.count(Outcome { given_up: 1, ..Outcome::default() });
                        return true;
                    }
                }
            }
        }
    }

    /// What is to be done next.
    fn next(&self) -> Next {
        let mut state = lock(&self.state);
        let now = self.began.elapsed();
        if state.over {
            return Next::Nothing;
        }
        if state.not_before > now {
            return Next::Later(state.not_before.saturating_sub(now));
        }
        let portion = self.pace.portion(MOST);
        let mut step = self.image.next_step(&mut state.plan, portion);
        if step.is_none() && std::mem::take(&mut state.damaged) {
            state.plan = self.plan();
            step = self.image.next_step(&mut state.plan, portion);
        }
        let Some(step) = step else {
            if std::mem::take(&mut state.failed) == 0 {
                tracing::info!("what was to be prefetched is here, or on its way");
                // What it remembers is needed no more.
                state.plan = Plan::default();
                return Next::Nothing;
            }
            return Next::Later(self.begin_again(&mut state));
        };
        if matches!(step, Step::Check(_)) {
            return Next::Step(step, Duration::ZERO);
        }
        if !self.image.fits(step.uncompressed()) {
            state.over = true;
            tracing::info!("prefetching ends: more does not fit into the chunk cache");
            return Next::Nothing;
        }
        self.progress.taken(&step);
        let wait = self.pace.wait(step.bytes());
        Next::Step(step, wait)
    }

    fn count(&self, outcome: Outcome) {
        self.progress.failed(outcome.given_up);
        let mut state = lock(&self.state);
        state.failed = state.failed.saturating_add(outcome.given_up);
        if outcome.kept > 0 {
            state.unkept = 0;
        } else if outcome.fetched > 0 {
            state.unkept = state.unkept.saturating_add(1);
            if state.unkept >= UNKEPT && !state.over {
                state.unkept = 0;
                let pause = self.begin_again(&mut state);
                tracing::warn!(?pause, "prefetching rests: the chunk cache keeps nothing");
            }
        }
    }

    fn plan(&self) -> Plan {
        Plan::new(self.image.bootstrap(), &self.first, self.extent)
    }

    /// From the beginning, after a rest: what is here is left out. Says how long the rest is.
    fn begin_again(&self, state: &mut State) -> Duration {
        let again = state.again;
        state.plan = self.plan();
        state.not_before = self.began.elapsed().saturating_add(again);
        state.again = again.saturating_mul(2).min(AGAIN.1);
        again
    }

    /// Waits so long; false as soon as it is over.
    fn rest(&self, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        let mut state = lock(&self.state);
        while !state.over {
            let left = until.and_then(|at| at.checked_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { return true };
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// Whether the same may succeed later.
fn passes(error: &ReadError) -> bool {
    matches!(error, ReadError::Fetch(error) if is_outage(error))
}
