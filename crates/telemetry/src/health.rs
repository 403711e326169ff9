//! Readiness as a list of named conditions, each fine or not for a reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// Whether this process can do its work, and if not, why. Clones share their state.
///
/// The process is ready when every condition is fine, and at least one was reported: a process
/// that has said nothing yet is still starting.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<BTreeMap<String, Result<(), String>>>>,
}

impl Health {
    /// A process of which these conditions are still to be reported.
    pub fn awaiting<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let starting = |name: &str| (name.to_owned(), Err("starting".to_owned()));
        let conditions = names.into_iter().map(starting).collect();
        Self { conditions: Arc::new(Mutex::new(conditions)) }
    }

    /// Says how `name` is now: fine, or not for this reason.
    pub fn set(&self, name: &str, state: Result<(), String>) {
        let mut conditions = self.lock();
        let before = conditions.insert(name.to_owned(), state.clone());
        drop(conditions);
        if before.as_ref() != Some(&state) {
            report(name, &state);
        }
    }

    /// Whether the process is ready, and each condition with its reason, as
    /// `{"ready": false, "conditions": {"store": "ok", "disk": "full"}}`.
    #[must_use]
    pub fn ready(&self) -> (bool, Value) {
        let conditions = self.lock();
        let ready = !conditions.is_empty() && conditions.values().all(Result::is_ok);
        let shown: BTreeMap<&str, &str> = conditions
            .iter()
            .map(|(name, state)| (name.as_str(), state.as_ref().err().map_or("ok", |why| why)))
            .collect();
        let page = json!({ "ready": ready, "conditions": shown });
        (ready, page)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Result<(), String>>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(name: &str, state: &Result<(), String>) {
    match state {
        Ok(()) => tracing::info!(condition = name, "fine"),
        Err(reason) => tracing::warn!(condition = name, reason, "not ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_everything_is_fine() {
        let health = Health::awaiting(["store", "mirror"]);
        assert!(!health.ready().0);
        health.set("store", Ok(()));
        assert!(!health.ready().0);
        health.set("mirror", Ok(()));
        assert!(health.ready().0);
        health.clone().set("disk", Err("full".into()));
        let (ready, page) = health.ready();
        assert!(!ready);
        assert_eq!(
            page.to_string(),
            r#"{"conditions":{"disk":"full","mirror":"ok","store":"ok"},"ready":false}"#
        );
    }

    #[test]
    fn silence_is_not_readiness() {
        assert!(!Health::default().ready().0);
    }
}
