//! What an operator asks of the store: what is there, away with it, keep it, is it still right.
//!
//! The same for a running daemon and for a store that no process has open; all of it blocks.
//!
//! `named` knows which tasks a name stands for, `told` what is answered, `verify` reads all again.

mod named;
mod told;
mod verify;

use content::TaskId;
use store::{Removal, TaskInfo};

use self::named::{named, resolve};
pub use self::told::{CacheError, Collected, Done, Entry, Kind, Left, Listing, Step};
pub use self::verify::verify;
use crate::engine::Engine;

/// What is stored.
#[must_use]
pub fn list(engine: &Engine) -> Listing {
    let stats = engine.store().stats();
    Listing {
        tasks: engine.store().list().iter().map(entry).collect(),
        bytes: stats.bytes,
        quota: stats.quota_bytes,
        writable: stats.fault.is_none(),
    }
}

fn entry(info: &TaskInfo) -> Entry {
    Entry {
        task: info.id.to_string(),
        kind: match info.id {
            TaskId::Blob(_) => Kind::Blob,
            TaskId::Url(_) => Kind::Url,
        },
        media_type: info.media_type.clone(),
        length: info.layout.length(),
        present: info.held_bytes,
        complete: info.complete,
        pinned: info.pinned,
        last_use: info.last_use_unix,
    }
}

/// Removes the named tasks, or all if none is named; `force`: those too that are in use or pinned.
///
/// # Errors
/// If a name stands for nothing, or the disk refuses. Nothing is removed because of a wrong name.
pub fn remove(engine: &Engine, names: &[String], force: bool) -> Result<Done, CacheError> {
    engine.sweep();
    let mut done = Done::default();
    for id in named(engine, names)? {
        let removal = if force {
            let bytes = engine.store().task(&id).map_or(0, |task| task.held());
            engine.remove(&id)?;
            Removal::Removed { bytes }
        } else {
            engine.store().remove_unused(&id)?
        };
        let why = match removal {
            Removal::Removed { bytes } => {
                done.tasks.push(id.to_string());
                done.bytes += bytes;
                continue;
            }
            Removal::InUse => "it is in use; --force removes it all the same",
            Removal::Pinned => "it is pinned; unpin it first, or use --force",
            Removal::Unknown => continue, // somebody else removed it
        };
        done.left.push(Left { task: id.to_string(), why: why.to_owned() });
    }
    Ok(done)
}

/// Evicts what is used least recently, until `to` bytes are left; without a size, as the watermarks
/// want it.
#[must_use]
pub fn collect(engine: &Engine, to: Option<u64>, now: u64) -> Collected {
    engine.sweep();
    let store = engine.store();
    let mut evicted = store.gc(now).evicted;
    if let Some(bytes) = to {
        let more = store.evict_to(bytes);
        evicted.tasks += more.tasks;
        evicted.bytes += more.bytes;
    }
    Collected { tasks: evicted.tasks, bytes: evicted.bytes, left: store.stats().bytes }
}

/// Keeps the named tasks from being evicted, or lets them be evicted again.
///
/// # Errors
/// If a name stands for nothing, or the index refuses.
pub fn pin(engine: &Engine, names: &[String], pinned: bool) -> Result<Done, CacheError> {
    let ids: Vec<_> = names.iter().map(|name| resolve(engine, name)).collect::<Result<_, _>>()?;
    let mut done = Done::default();
    for id in ids {
        let store = engine.store();
        if if pinned { store.pin(&id) } else { store.unpin(&id) }? {
            done.tasks.push(id.to_string());
        }
    }
    Ok(done)
}
