//! Named steps, so that a crash test can end the process between any two of them.
//!
//! Every change to the disk that must be ordered calls [`step`] after it. In a normal build that
//! is nothing. With the feature `testing`, the process aborts at the step whose number, counted
//! from 0 over the life of the process, stands in the environment variable
//! `MEGANEURA_ABORT_AT_STEP`; a test that runs itself again with 0, 1, 2 … thus visits every state
//! that a kill can leave behind.

/// Marks that a step was done.
#[cfg(not(feature = "testing"))]
#[inline]
pub const fn step(_name: &'static str) {}

/// Marks that a step was done; ends the process if it is the chosen one.
#[cfg(feature = "testing")]
pub fn step(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: LazyLock<Option<u64>> = LazyLock::new(|| {
        std::env::var("MEGANEURA_ABORT_AT_STEP").ok().and_then(|number| number.parse().ok())
    });
    static DONE: AtomicU64 = AtomicU64::new(0);

    if let Some(chosen) = *CHOSEN
        && DONE.fetch_add(1, Ordering::SeqCst) == chosen
    {
        eprintln!("step {chosen}: {name}: aborting");
        std::process::abort();
    }
}
