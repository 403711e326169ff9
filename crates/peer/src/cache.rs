//! What an operator asks of the store: what is there, away with it, keep it, is it still right.
//!
//! The same for a running daemon and for a store that no process has open; all of it blocks.

use std::str::FromStr;

use content::{BlobHasher, TaskId};
use serde::{Deserialize, Serialize};
use store::{ReadError, Removal, StoreError, TaskInfo};

use crate::engine::Engine;
use crate::scrub::Found;

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The tasks, in the order of their names.
    pub tasks: Vec<Entry>,
    /// How many bytes they hold together.
    pub bytes: u64,
    /// The most that they may hold.
    pub quota: u64,
    /// Whether the disk takes writes.
    pub writable: bool,
}

/// One stored task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name: `sha256:…` of a blob, `url:…` of anything else.
    pub task: String,
    /// What it is.
    pub kind: Kind,
    /// Its media type; empty where it is not known.
    pub media_type: String,
    /// How long it is, in bytes.
    pub length: u64,
    /// How many bytes of it are here.
    pub present: u64,
    /// Whether all of it is here and matched its SHA-256.
    pub complete: bool,
    /// Whether it is kept from eviction.
    pub pinned: bool,
    /// When it was last used, in Unix seconds.
    pub last_use: u64,
}

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A registry object, named by its digest.
    Blob,
    /// A file that was named by a URL.
    Url,
}

/// Tasks that something was done to, and those that it was not done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// To these it was done.
    pub tasks: Vec<String>,
    /// How many bytes they held, if they are gone.
    pub bytes: u64,
    /// To these it was not done.
    pub left: Vec<Left>,
}

/// A task that something was not done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The task, as it was named.
    pub task: String,
    /// Why not.
    pub why: String,
}

/// What a collection took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// How many tasks.
    pub tasks: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many bytes are left.
    pub left: u64,
}

/// How far a verification is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Step {
    /// So many bytes were read, of so many.
    Progress {
        /// Read.
        bytes: u64,
        /// In all.
        of: u64,
    },
    /// A task is done.
    Task {
        /// The task.
        task: String,
        /// Pieces that are what they should be.
        fine: u64,
        /// Pieces that were not; they were dropped.
        damaged: u64,
        /// Pieces of which nobody knows what they should be.
        unknown: u64,
    },
    /// It could not go on.
    Failed {
        /// Why.
        error: String,
    },
    /// All tasks are done: the last step.
    Done,
}

/// Why something could not be done at all.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A name that stands for no stored task.
    #[error("{0}: nothing of that name is stored")]
    Unknown(String),
    /// A short name that stands for several.
    #[error("{0} stands for more than one task; give more of it")]
    Ambiguous(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

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

/// The shortest part of a digest that stands for it.
const SHORTEST: usize = 6;

/// The stored task that `name` stands for: its whole name, or the beginning of its digest.
fn resolve(engine: &Engine, name: &str) -> Result<TaskId, CacheError> {
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
fn named(engine: &Engine, names: &[String]) -> Result<Vec<TaskId>, CacheError> {
    if names.is_empty() {
        return Ok(engine.store().list().into_iter().map(|info| info.id).collect());
    }
    names.iter().map(|name| resolve(engine, name)).collect()
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
    use std::os::unix::fs::FileExt;
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
