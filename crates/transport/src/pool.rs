//! The connections that we opened, to be used again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use crate::connection::Connection;
use crate::endpoint::Expect;
use crate::error::TransportError;
use crate::limits::Limits;

type Key = (String, Expect);
type Attempt = Arc<OnceCell<Result<Connection, TransportError>>>;

/// One connection for each address and peer. Those who want the same one wait for one attempt.
#[derive(Default)]
pub(crate) struct Pool {
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Default)]
struct Entry {
    attempt: Attempt,
    unused_since: Option<Instant>,
}

impl Pool {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, or the one that `dial` opens.
    pub(crate) async fn get(
        &self,
        address: &str,
        expect: &Expect,
        dial: impl Future<Output = Result<Connection, TransportError>>,
    ) -> Result<Connection, TransportError> {
        let key = (address.to_owned(), expect.clone());
        let attempt = {
            let mut entries = self.entries();
            let entry = entries.entry(key.clone()).or_default();
            if entry.attempt.get().is_some_and(is_over) {
                *entry = Entry::default();
            }
            entry.unused_since = None;
            Arc::clone(&entry.attempt)
        };
        // If the one that dials is cancelled, the next one that waits dials.
        let result = attempt.get_or_init(|| dial).await.clone();
        if result.is_err() {
            let mut entries = self.entries();
            if entries.get(&key).is_some_and(|entry| Arc::ptr_eq(&entry.attempt, &attempt)) {
                entries.remove(&key);
            }
        }
        result
    }

    /// Forgets what is closed, and closes what nobody has used for long.
    pub(crate) fn sweep(&self, limits: &Limits) {
        self.entries().retain(|_, entry| {
            let connection = match entry.attempt.get() {
                // Being dialled, or given up by all who wanted it.
                None => return Arc::strong_count(&entry.attempt) > 1,
                Some(Ok(connection)) if !connection.is_closed() => connection,
                Some(_) => return false,
            };
            connection.sweep();
            if !connection.is_unused() {
                entry.unused_since = None;
                return true;
            }
            let since = *entry.unused_since.get_or_insert_with(Instant::now);
            since.elapsed() < limits.unused_timeout
        });
    }

    /// Forgets everything, and so closes what nobody else holds.
    pub(crate) fn clear(&self) {
        let entries = std::mem::take(&mut *self.entries());
        drop(entries);
    }
}

fn is_over(result: &Result<Connection, TransportError>) -> bool {
    result.as_ref().map_or(true, Connection::is_closed)
}
