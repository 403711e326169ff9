//! The threads in which reads wait for chunks, and the buffers of reads. All mounts of a process
//! share them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::traffic::Traffic;
use crate::lock::lock;

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// So many reads may wait for chunks at one time.
pub const WAITING: usize = 64;

/// A thread that has had nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(5);

/// Threads that come when they are needed and go when they are not; and buffers.
#[derive(Clone, Debug)]
pub struct Readers {
    shared: Arc<Shared>,
    traffic: Arc<Traffic>,
}

struct Shared {
    most: usize,
    limit: Duration,
    state: Mutex<State>,
    wake: Condvar,
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Readers {
    /// At most `most` threads, of which there is none yet. A read waits for at most `limit`.
    #[must_use]
    pub fn new(most: usize, limit: Duration) -> Self {
        let shared = Shared {
            most: most.max(1),
            limit,
            state: Mutex::default(),
            wake: Condvar::new(),
            buffers: Mutex::default(),
        };
        Self { shared: Arc::new(shared), traffic: Arc::default() }
    }

    /// The same threads and buffers for another mount, whose reads are counted apart.
    #[must_use]
    pub fn for_a_mount(&self) -> Self {
        let traffic = Arc::new(Traffic::of(self.traffic.tally()));
        Self { shared: Arc::clone(&self.shared), traffic }
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
        let state = lock(&self.shared.state);
        !state.jobs.is_empty() || state.threads > state.idle
    }

    /// Does `job` in another thread, as soon as one is free.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.shared.state);
        state.jobs.push_back(Box::new(job));
        if state.jobs.len() <= state.idle {
            self.shared.wake.notify_one();
        } else if state.threads < self.shared.most {
            state.threads = state.threads.saturating_add(1);
            drop(state);
            self.start();
        }
    }

    fn start(&self) {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("reader".to_owned());
        if let Err(error) = thread.spawn(move || shared.work()) {
            let mut state = lock(&self.shared.state);
            state.threads = state.threads.saturating_sub(1);
            // With no thread at all nobody would ever come to the job.
            let job = if state.threads == 0 { state.jobs.pop_front() } else { None };
            drop(state);
            tracing::warn!(%error, "there is no thread for a read");
            if let Some(job) = job {
                job();
            }
        }
    }

    /// A buffer of so many bytes, whatever they are.
    #[must_use]
    pub fn buffer(&self, length: usize) -> Buffer {
        let mut bytes = lock(&self.shared.buffers).pop().unwrap_or_default();
        bytes.resize(length, 0);
        Buffer { bytes, readers: self.clone() }
    }
}

impl Shared {
    fn work(&self) {
        let _here = Leaving(self);
        loop {
            let Some(job) = self.next() else { return };
            job();
        }
    }

    /// The next job, as soon as there is one; `None` if there was none for long.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle = state.idle.saturating_add(1);
            let waited = self.wake.wait_timeout(state, IDLE);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle = state.idle.saturating_sub(1);
            if timeout.timed_out() && state.jobs.is_empty() {
                return None;
            }
        }
    }
}

/// Counts a thread that ends, however it ends.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.threads = state.threads.saturating_sub(1);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Room for the bytes of one read; it is used again.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    readers: Readers,
}

/// So many buffers are kept that nobody uses.
const SPARE: usize = 4;

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = lock(&self.readers.shared.buffers);
        if buffers.len() < SPARE {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn jobs_run_side_by_side_and_none_is_left_behind() {
        let readers = Readers::new(3, IDLE);
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

    #[test]
    fn buffers_are_as_long_as_asked() {
        let readers = Readers::new(1, IDLE);
        assert_eq!(readers.buffer(100).len(), 100);
        assert_eq!(readers.buffer(7).len(), 7);
        assert_eq!(readers.buffer(0).len(), 0);
    }
}
