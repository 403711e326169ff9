//! The life of a process: its parts by name, the signals, the grace time, systemd.
//!
//! ```no_run
//! # async fn serve(_: tokio_util::sync::CancellationToken) {}
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # use telemetry::lifecycle::Lifecycle;
//! let life = Lifecycle::new(std::time::Duration::from_secs(20));
//! life.spawn("mirror", serve(life.token()));
//! life.ready();
//! life.run_until_stopped().await?;
//! # Ok(()) }
//! ```
//!
//! A part listens to its token: once cancelled, it takes no new work, finishes or hands on what it
//! has, and returns. At the end of the grace time those still running are named and cut off.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Runs a process on a runtime of its own, and ends the runtime with it: a thread that still waits
/// for a name server or a dead disk is left behind, for nobody can call it back and the process is
/// to end within its grace time.
///
/// # Errors
/// If there can be no runtime.
pub fn block_on<T>(process: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(process);
    runtime.shutdown_timeout(LEAVE_BEHIND);
    Ok(done)
}

/// Threads that block have so long to return once everything else has ended.
const LEAVE_BEHIND: Duration = Duration::from_secs(1);

/// One process's parts and their end. Clones share their state.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    grace: Duration,
    token: CancellationToken,
    tracker: TaskTracker,
    parts: Arc<Mutex<Parts>>,
}

/// The parts that run, and the first that crashed.
#[derive(Debug, Default)]
struct Parts {
    next: u64,
    running: BTreeMap<u64, Arc<str>>,
    crashed: Option<Arc<str>>,
}

/// How a process stopped if not in order.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The grace time ended before these parts did.
    #[error("still running after the grace time of {grace:?}: {}", late.join(", "))]
    Late {
        /// The grace time.
        grace: Duration,
        /// The parts that were cut off.
        late: Vec<String>,
    },
    /// A second signal came: stop at once.
    #[error("stopped at once by a second signal; still running: {}", late.join(", "))]
    AtOnce {
        /// The parts that were cut off.
        late: Vec<String>,
    },
    /// A part panicked; a process without one of its parts does not go on.
    #[error("{0} panicked")]
    Crashed(String),
    /// The signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] io::Error),
}

impl Lifecycle {
    /// A process whose parts get `grace` to finish once it is stopped.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            token: CancellationToken::new(),
            tracker: TaskTracker::new(),
            parts: Arc::default(),
        }
    }

    /// Is cancelled when the process is to stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a part under a name. It is waited for when stopping; if it panics, the process stops.
    pub fn spawn<F>(&self, name: impl Into<Arc<str>>, part: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running::enter(self, name.into());
        self.tracker.spawn(async move {
            let _running = running;
            part.await
        })
    }

    /// SIGHUP: each `recv().await` is one wish that the configuration be read again.
    pub fn hangups(&self) -> io::Result<Signal> {
        signal(SignalKind::hangup())
    }

    /// Tells systemd that this process serves. Without systemd, nothing.
    pub fn ready(&self) {
        ready();
    }

    /// Stops the process as SIGTERM does.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Stops the process when the guard is dropped: for tests, and for `main`'s early returns.
    #[must_use]
    pub fn stop_on_drop(&self) -> DropGuard {
        self.token().drop_guard()
    }

    /// Waits for SIGTERM, SIGINT or [`stop`](Self::stop), and then for the parts, at most the
    /// grace time. A second signal ends the wait. A SIGHUP that nobody listens to is ignored.
    pub async fn run_until_stopped(&self) -> Result<(), StopError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let _hangups_do_not_kill = self.hangups()?;
        tokio::select! {
            () = self.token.cancelled() => {}
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stopping();
        self.stop();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => self.verdict(),
            () = tokio::time::sleep(self.grace) => Err(StopError::Late {
                grace: self.grace,
                late: self.late(),
            }),
            _ = terminate.recv() => Err(StopError::AtOnce { late: self.late() }),
            _ = interrupt.recv() => Err(StopError::AtOnce { late: self.late() }),
        }
    }

    fn verdict(&self) -> Result<(), StopError> {
        match &self.parts().crashed {
            Some(name) => Err(StopError::Crashed(name.to_string())),
            None => Ok(()),
        }
    }

    /// The names of the parts that run; of many with one name, `name (3)`.
    fn late(&self) -> Vec<String> {
        let mut counts = BTreeMap::<Arc<str>, usize>::new();
        for name in self.parts().running.values() {
            *counts.entry(Arc::clone(name)).or_default() += 1;
        }
        let shown = counts.into_iter().map(|(name, count)| match count {
            1 => name.to_string(),
            _ => format!("{name} ({count})"),
        });
        shown.collect()
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for a part while it runs.
struct Running {
    life: Lifecycle,
    number: u64,
    name: Arc<str>,
}

impl Running {
    fn enter(life: &Lifecycle, name: Arc<str>) -> Self {
        let mut parts = life.parts();
        let number = parts.next;
        parts.next += 1;
        parts.running.insert(number, Arc::clone(&name));
        drop(parts);
        Self { life: life.clone(), number, name }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let crashed = std::thread::panicking();
        let mut parts = self.life.parts();
        parts.running.remove(&self.number);
        if crashed {
            parts.crashed.get_or_insert_with(|| Arc::clone(&self.name));
        }
        drop(parts);
        if crashed {
            tracing::error!(part = %self.name, "panicked; stopping");
            self.life.stop();
        }
    }
}

/// Tells systemd that this process serves, for a process that has its own way to stop. Without systemd,
/// nothing.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Tells systemd that such a process is about to end.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState) {
    // Without NOTIFY_SOCKET this does nothing; with one, a failure is systemd's to notice.
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn parts_finish_before_the_process_does() {
        let life = Lifecycle::new(GRACE);
        let token = life.token();
        let part = life.spawn("mirror", async move {
            token.cancelled().await;
            "done"
        });
        life.stop();
        life.run_until_stopped().await.expect("the part finished");
        assert_eq!(part.await.expect("it did not panic"), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_is_named() {
        let life = Lifecycle::new(GRACE);
        for name in ["upload", "upload", "mirror"] {
            life.spawn(name, std::future::pending::<()>());
        }
        life.stop();
        let stopped = life.run_until_stopped().await.expect_err("nobody finishes");
        let told = stopped.to_string();
        assert!(told.ends_with("20s: mirror, upload (2)"), "{told}");
    }

    #[test]
    fn a_thread_that_waits_for_something_dead_is_left_behind() {
        let started = std::time::Instant::now();
        let ended = block_on(async {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(30)));
            "done"
        });
        assert_eq!(ended.expect("there is a runtime"), "done");
        assert!(started.elapsed() < Duration::from_secs(15), "it was waited for");
    }

    #[tokio::test]
    async fn a_part_that_panics_stops_the_process() {
        let life = Lifecycle::new(GRACE);
        life.spawn("mirror", async { panic!("on purpose") });
        let stopped = life.run_until_stopped().await.expect_err("it panicked");
        assert_eq!(stopped.to_string(), "mirror panicked");
    }
}
