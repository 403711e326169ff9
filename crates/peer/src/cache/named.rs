//! Which stored tasks a name stands for.

use std::str::FromStr;

use content::TaskId;

use super::CacheError;
use crate::engine::Engine;

/// The shortest part of a digest that stands for it.
const SHORTEST: usize = 6;

/// The stored task that `name` stands for: its whole name, or the beginning of its digest.
pub(super) fn resolve(engine: &Engine, name: &str) -> Result<TaskId, CacheError> {
    let unknown = || CacheError::Unknown(name.to_owned());
    if let Ok(id) = TaskId::from_str(name) {
        return engine.store().task(&id).map(|_| id).ok_or_else(unknown);
    }
    let digest = name.rsplit(':').next().unwrap_or_default();
    if digest.len() < SHORTEST {
        return Err(unknown());
    }
    let stands_for = |id: &TaskId| {
        let whole = id.to_string();
        whole.starts_with(name) || whole.rsplit(':').next().is_some_and(|hex| hex.starts_with(name))
    };
    let mut found = engine.store().list().into_iter().map(|info| info.id).filter(stands_for);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(CacheError::Ambiguous(name.to_owned())),
        (None, _) => Err(unknown()),
    }
}

/// The named tasks; all of them, if none is named.
pub(super) fn named(engine: &Engine, names: &[String]) -> Result<Vec<TaskId>, CacheError> {
    if names.is_empty() {
        return Ok(engine.store().list().into_iter().map(|info| info.id).collect());
    }
    names.iter().map(|name| resolve(engine, name)).collect()
}
