//! What is known of each task, in sled; nothing outside this folder names it.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `tasks` | task (33 bytes: kind, name) | [`Facts`] as JSON |
//! | `used` | task | last use, Unix milliseconds, 8 bytes big-endian |
//! | `statements` | task, first piece, end (4 bytes big-endian each), whole (0, 1) | length of the body (4 bytes), body, signature |
//! | `digests` | task, number of the first piece of a page of 1024 (4 bytes) | per piece: number (4 bytes), BLAKE3 digest |
//! | `grants` | whatever the caller chose | when it ends, Unix seconds, 8 bytes; value |
//!
//! Writes go to the disk within a second, or at [`Index::flush`]. What a kill takes away can be
//! fetched anew, so nothing else waits for the disk.
//!
//! `trees` opens and copies sled's trees, `trouble` says why that failed, `folders` has the folders
//! that it takes; `statements`, `digests` and `grants` read and write the trees of their names.

mod digests;
mod folders;
mod grants;
mod statements;
#[cfg(test)]
mod tests;
mod trees;
mod trouble;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use content::TaskId;
use sled::{Batch, Tree};

use self::folders::{remove, replace, set_aside, settle, unnamed};
use self::trees::{Trees, try_open};
use self::trouble::Trouble;
use crate::error::IndexError;
use crate::facts::Facts;
use crate::lock::{read, write};
use crate::names;

/// The index of one store.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// `None` where the disk did not let it be opened: it is full or read-only.
    trees: RwLock<Option<Trees>>,
}

/// Everything that is known of all tasks, as it is read at the start.
pub(crate) type Known = HashMap<TaskId, (Facts, u64)>;

/// The largest value that is kept under one key, grants included.
pub(crate) const MAX_VALUE: usize = 1 << 20;

impl Index {
    /// Opens the index at `path` and reads what it knows. One that cannot be read is set aside,
    /// and a new one is made.
    pub(crate) fn open(path: &Path) -> Result<(Self, Known), IndexError> {
        settle(path)?;
        let opened = match try_open(path) {
            Ok(opened) => Ok(opened),
            Err(Trouble::NoRoom(error)) => {
                tracing::error!(path = %path.display(), %error, "the disk does not let the store's index be opened; going on without it until it does");
                return Ok((
                    Self { path: path.to_owned(), trees: RwLock::new(None) },
                    Known::new(),
                ));
            }
            Err(Trouble::Refused(error)) => Err(error),
            Err(Trouble::Damaged(why)) => {
                tracing::warn!(path = %path.display(), why, "the store's index cannot be read; it is made anew");
                set_aside(path)?;
                try_open(path).map_err(Trouble::into_error)
            }
        };
        let (trees, known) = opened?;
        let index = Self { path: path.to_owned(), trees: RwLock::new(Some(trees)) };
        Ok((index, known))
    }

    /// Makes the index anew from what the open one still knows.
    ///
    /// sled does not survive a refused write: it may go on, and lose at the next start what was
    /// written after it. So nothing is written to the old files any more.
    /// One that could not be opened before is opened, and told.
    pub(crate) fn renew(&self) -> Result<Option<Known>, IndexError> {
        let mut trees = write(&self.trees);
        let replaced = trees.as_ref().map(|_| ());
        if let Some(old) = &*trees {
            let unnamed = unnamed(&self.path);
            remove(&unnamed)?;
            let (fresh, _) = try_open(&unnamed).map_err(Trouble::into_error)?;
            fresh.copy(old)?;
            fresh.db.flush()?;
            drop(fresh);
            *trees = None;
            replace(&self.path)?;
        } else {
            settle(&self.path)?;
        }
        let (opened, known) = try_open(&self.path).map_err(Trouble::into_error)?;
        let was_away = replaced.is_none();
        *trees = Some(opened);
        Ok(was_away.then_some(known))
    }

    /// Whether the disk did not let it be opened: then nobody knows what the operator pinned.
    pub(crate) fn is_away(&self) -> bool {
        read(&self.trees).is_none()
    }

    fn with<T>(&self, work: impl FnOnce(&Trees) -> Result<T, IndexError>) -> Result<T, IndexError> {
        match &*read(&self.trees) {
            Some(trees) => work(trees),
            None => Err(IndexError::why("it could not be opened again")),
        }
    }

    /// Waits until everything is on the disk.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        self.with(|trees| Ok(trees.db.flush().map(|_| ())?))
    }

    pub(crate) fn set_facts(&self, id: &TaskId, facts: &Facts) -> Result<(), IndexError> {
        let value = serde_json::to_vec(facts)?;
        self.with(|trees| Ok(trees.tasks.insert(names::key(id), value).map(|_| ())?))
    }

    pub(crate) fn set_used(&self, id: &TaskId, tick: u64) -> Result<(), IndexError> {
        let value = &tick.to_be_bytes();
        self.with(|trees| Ok(trees.used.insert(names::key(id), value).map(|_| ())?))
    }

    /// Forgets all about a task.
    pub(crate) fn remove(&self, id: &TaskId) -> Result<(), IndexError> {
        let key = names::key(id);
        self.with(|trees| {
            remove_prefix(&trees.statements, &key)?;
            remove_prefix(&trees.digests, &key)?;
            trees.used.remove(key)?;
            // Last: while it is there, the next start knows that there is something to remove.
            trees.tasks.remove(key)?;
            Ok(())
        })
    }
}

fn remove_prefix(tree: &Tree, prefix: &[u8]) -> Result<(), IndexError> {
    let mut batch = Batch::default();
    for key in tree.scan_prefix(prefix).keys() {
        batch.remove(key?);
    }
    Ok(tree.apply_batch(batch)?)
}
