//! Locking where nobody can leave a value half changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever happened to another holder: the guarded values are valid after every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
