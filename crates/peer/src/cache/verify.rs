//! Whether what is stored is still right: all of it is read, and compared with what it should be.

use std::os::unix::fs::FileExt;

use content::{BlobHasher, TaskId};

use super::named::named;
use super::{CacheError, Step};
use crate::engine::Engine;
use crate::scrub::Found;

/// Reads the named tasks, or all if none is named, from the disk and compares every piece with its
/// digest; damaged pieces are dropped. `tell` hears how far it is, and stops it by saying false.
///
/// # Errors
/// If a name stands for nothing, or the disk cannot be read.
pub fn verify(
    engine: &Engine,
    names: &[String],
    mut tell: impl FnMut(Step) -> bool,
) -> Result<(), CacheError> {
    let ids = named(engine, names)?;
    let of = ids.iter().filter_map(|id| engine.store().task(id)).map(|task| task.held()).sum();
    let mut bytes = 0;
    for id in ids {
        let Some(task) = engine.store().task(&id) else {
            continue;
        };
        let book = engine.book(&task);
        let mut found = Found::default();
        for index in task.present().iter() {
            found.count(task.scrub(index, &book)?);
            bytes += task.layout().extent(index).map_or(0, |extent| extent.end - extent.start);
            if !tell(Step::Progress { bytes, of }) {
                return Ok(());
            }
        }
        if found.unknown > 0 {
            by_whole(&task, &mut found)?;
        }
        let Found { fine, damaged, unknown } = found;
        if !tell(Step::Task { task: id.to_string(), fine, damaged, unknown }) {
            return Ok(());
        }
    }
    tell(Step::Done);
    Ok(())
}

/// Pieces without a digest: a blob that is here whole has its own name to say what it should be.
fn by_whole(task: &store::Task, found: &mut Found) -> Result<(), CacheError> {
    let (TaskId::Blob(digest), true) = (task.id(), task.present().is_full()) else {
        return Ok(());
    };
    let Some(actual) = whole(task)? else {
        return Ok(());
    };
    let pieces = u64::from(task.layout().pieces());
    *found = if actual == digest {
        Found { fine: pieces, ..Found::default() }
    } else {
        task.drop_all();
        Found { damaged: pieces, ..Found::default() }
    };
    Ok(())
}

/// The SHA-256 of a task's file as it lies on the disk; `None` if it has become too short.
fn whole(task: &store::Task) -> Result<Option<content::Digest>, CacheError> {
    let file = task.file()?;
    let mut hasher = BlobHasher::new();
    let mut part = vec![0; 1 << 20];
    let length = task.layout().length();
    while hasher.hashed() < length {
        let left = usize::try_from(length - hasher.hashed()).unwrap_or(usize::MAX);
        let part = &mut part[..left.min(1 << 20)];
        if file.read_exact_at(part, hasher.hashed()).is_err() {
            return Ok(None);
        }
        hasher.update(part);
    }
    Ok(Some(hasher.finish()))
}
