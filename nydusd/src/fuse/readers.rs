//! The threads in which reads wait for chunks, and the buffers of reads. All mounts of a process
//! share them, by turns.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::buffers::{Buffer, Buffers};
use super::files::{Counting, Files};
use super::traffic::Traffic;
use super::turns::{Lane, Turns};
use crate::lock::lock;

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// So many reads may wait for others at one time; those of one mount, half as many.
pub const WAITING: usize = 128;

/// A thread that has had nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(5);

/// Threads that come when they are needed and go when they are not; and buffers.
#[derive(Clone, Debug)]
pub struct Readers {
    shared: Arc<Shared>,
    traffic: Arc<Traffic>,
    /// Whose reads they are.
    mount: u64,
}

struct Shared {
    mounts: AtomicU64,
    limit: Duration,
    state: Mutex<State>,
    wake: Condvar,
    buffers: Buffers,
}

struct State {
    turns: Turns<Job>,
    /// What has begun and has no thread yet: idle ones are to take it.
    handed: VecDeque<(Lane, Job)>,
    threads: usize,
    idle: usize,
}

impl Readers {
    /// None yet. Of reads that wait for others, at most `most` do so at one time, or one of each
    /// mount if that is more. A read waits for at most `limit`.
    #[must_use]
    pub fn new(most: usize, limit: Duration) -> Self {
        let turns = Turns::new(most.max(1));
        let state = State { turns, handed: VecDeque::new(), threads: 0, idle: 0 };
        let shared = Shared {
            mounts: AtomicU64::new(1),
            limit,
            state: Mutex::new(state),
            wake: Condvar::new(),
            buffers: Buffers::default(),
        };
        Self { shared: Arc::new(shared), traffic: Arc::default(), mount: 0 }
    }

    /// The same threads and buffers for another mount, whose reads are counted apart; by file too, as
    /// `counting` says.
    #[must_use]
    pub fn for_a_mount(&self, counting: Counting) -> Self {
        let traffic = Arc::new(Traffic::of(self.traffic.tally(), Files::new(counting)));
        let mount = self.shared.mounts.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), traffic, mount }
    }

    /// What was read.
    #[must_use]
    pub const fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// How long a read waits for chunks before it fails.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.shared.limit
    }

    /// Whether anybody waits for chunks now.
    #[must_use]
    pub fn wait_for_chunks(&self) -> bool {
        !lock(&self.shared.state).turns.is_idle()
    }

    /// Does `job`, which may wait for others, in another thread, when it is this mount's turn.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.push(Lane::Mount(self.mount), Box::new(job));
    }

    /// Does `job`, which waits for nothing but the disk, in another thread, as soon as one is free.
    pub fn spawn_at_disk(&self, job: impl FnOnce() + Send + 'static) {
        self.push(Lane::Disk, Box::new(job));
    }

    fn push(&self, lane: Lane, job: Job) {
        let mut state = lock(&self.shared.state);
        state.turns.push(lane, job);
        Shared::begin(&self.shared, state);
    }

    /// A buffer of so many bytes, whatever they are.
    #[must_use]
    pub fn buffer(&self, length: usize) -> Buffer {
        self.shared.buffers.take(length)
    }
}

impl Shared {
    /// Has all jobs done that may begin: by idle threads, or new ones.
    fn begin(this: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut new = Vec::new();
        while let Some(job) = state.turns.next() {
            if state.idle > state.handed.len() {
                state.handed.push_back(job);
                this.wake.notify_one();
            } else {
                state.threads = state.threads.saturating_add(1);
                new.push(job);
            }
        }
        drop(state);
        new.into_iter().for_each(|job| Self::start(this, job));
    }

    fn start(this: &Arc<Self>, job: (Lane, Job)) {
        // It comes back if there is no thread for it.
        let (shared, place) = (Arc::clone(this), Arc::new(Mutex::new(Some(job))));
        let taken = Arc::clone(&place);
        let thread = std::thread::Builder::new().name("reader".to_owned());
        let started = thread.spawn(move || {
            let job = lock(&taken).take();
            shared.work(job);
        });
        if let Err(error) = started {
            tracing::warn!(%error, "there is no thread for a read");
            let job = lock(&place).take();
            this.without_a_thread(job);
        }
    }

    /// Leaves a job to the threads that there are. With none at all nobody would ever come to it.
    fn without_a_thread(&self, job: Option<(Lane, Job)>) {
        let mut state = lock(&self.state);
        state.threads = state.threads.saturating_sub(1);
        if state.threads > 0 {
            state.handed.extend(job);
            self.wake.notify_one();
            return;
        }
        let mut next = job;
        while let Some((lane, job)) = next {
            drop(state);
            job();
            state = lock(&self.state);
            state.turns.done(lane);
            next = state.handed.pop_front().or_else(|| state.turns.next());
        }
    }

    /// Does this job and those that come, until none has come for long.
    fn work(self: Arc<Self>, first: Option<(Lane, Job)>) {
        let mut leaving = Leaving { shared: self, lane: None };
        let mut next = first;
        while let Some((lane, job)) = next {
            leaving.lane = Some(lane);
            job();
            next = leaving.shared.next(leaving.lane.take());
        }
    }

    /// The next job after one of `lane` is done, as soon as there is one; `None` if there was none
    /// for long.
    fn next(self: &Arc<Self>, done: Option<Lane>) -> Option<(Lane, Job)> {
        let mut state = lock(&self.state);
        if let Some(lane) = done {
            state.turns.done(lane);
        }
        let next = state.handed.pop_front().or_else(|| state.turns.next());
        if next.is_some() {
            Self::begin(self, state);
            return next;
        }
        loop {
            if let Some(job) = state.handed.pop_front() {
                return Some(job);
            }
            state.idle = state.idle.saturating_add(1);
            let waited = self.wake.wait_timeout(state, IDLE);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle = state.idle.saturating_sub(1);
            if timeout.timed_out() && state.handed.is_empty() {
                return None;
            }
        }
    }
}

/// Counts a thread that ends, however it ends, and the job at which it did.
struct Leaving {
    shared: Arc<Shared>,
    lane: Option<Lane>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.threads = state.threads.saturating_sub(1);
        if let Some(lane) = self.lane {
            state.turns.done(lane);
        }
        // What was left to this thread while it was about to go.
        let left = if state.threads == 0 { state.handed.pop_front() } else { None };
        state.threads = state.threads.saturating_add(usize::from(left.is_some()));
        Shared::begin(&self.shared, state);
        left.into_iter().for_each(|job| Shared::start(&self.shared, job));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn jobs_run_side_by_side_and_none_is_left_behind() {
        // One mount may hold half of them.
        let readers = Readers::new(6, IDLE);
        let (send, receive) = channel();
        let gate = Arc::new(std::sync::Barrier::new(3));
        // Three that need each other, then many more than there are threads.
        for _ in 0..3 {
            let (send, gate) = (send.clone(), Arc::clone(&gate));
            readers.spawn(move || {
                gate.wait();
                send.send(()).unwrap();
            });
        }
        for _ in 0..50 {
            let send = send.clone();
            readers.spawn(move || send.send(()).unwrap());
        }
        for _ in 0..53 {
            receive.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }

    #[test]
    fn a_job_that_panics_takes_its_thread_only() {
        let readers = Readers::new(1, IDLE);
        readers.spawn(|| panic!("on purpose"));
        let (send, receive) = channel();
        for _ in 0..200 {
            let send = send.clone();
            readers.spawn(move || send.send(()).unwrap_or_default());
            if receive.recv_timeout(Duration::from_millis(50)).is_ok() {
                return;
            }
        }
        panic!("no thread came back");
    }
}
