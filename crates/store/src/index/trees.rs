//! sled's trees: opened, read as a whole, copied to others. Its panics end here.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use sled::{Db, IVec, Tree};

use super::Known;
use super::folders::wait_for_lock;
use super::trouble::Trouble;
use crate::error::IndexError;
use crate::names;
use crate::recover::make_folder;

#[derive(Debug)]
pub(super) struct Trees {
    pub(super) db: Db,
    pub(super) tasks: Tree,
    pub(super) used: Tree,
    pub(super) statements: Tree,
    pub(super) digests: Tree,
    pub(super) grants: Tree,
}

/// sled's own memory. The index is small and mostly written.
const CACHE: u64 = 8 << 20;

/// Opens the index and reads all facts. sled 0.34 panics on some damaged files; that is damage
/// too, not the end of the process.
pub(super) fn try_open(path: &Path) -> Result<(Trees, Known), Trouble> {
    // sled would make it with the process's mask.
    make_folder(path).map_err(|error| Trouble::from(sled::Error::Io(error)))?;
    wait_for_lock(path).map_err(|error| Trouble::from(sled::Error::Io(error)))?;
    let attempt = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let trees = Trees::open(path)?;
        let known = trees.known()?;
        Ok((trees, known))
    }));
    attempt.unwrap_or_else(|_| Err(Trouble::Damaged("sled panicked on it".to_owned())))
}

impl Trees {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(1000))
            .open()?;
        Ok(Self {
            tasks: db.open_tree("tasks")?,
            used: db.open_tree("used")?,
            statements: db.open_tree("statements")?,
            digests: db.open_tree("digests")?,
            grants: db.open_tree("grants")?,
            db,
        })
    }

    /// Takes over what `old` can still tell. What it cannot is lost and will be fetched anew.
    pub(super) fn copy(&self, old: &Self) -> Result<(), IndexError> {
        let pairs = [
            (&old.tasks, &self.tasks),
            (&old.used, &self.used),
            (&old.statements, &self.statements),
            (&old.digests, &self.digests),
            (&old.grants, &self.grants),
        ];
        for (from, to) in pairs {
            let copied = std::panic::catch_unwind(AssertUnwindSafe(|| {
                for entry in from.iter().map_while(Result::ok) {
                    to.insert(entry.0, entry.1)?;
                }
                Ok::<_, sled::Error>(())
            }));
            match copied {
                Ok(outcome) => outcome?,
                Err(_) => tracing::warn!("a part of the store's index could not be saved"),
            }
        }
        Ok(())
    }

    /// All tasks. An entry that cannot be understood is as good as none.
    fn known(&self) -> Result<Known, Trouble> {
        let mut known = Known::new();
        for entry in &self.tasks {
            let (key, value) = entry?;
            let facts = serde_json::from_slice(&value).ok();
            if let (Some(id), Some(facts)) = (names::task(&key), facts) {
                known.insert(id, (facts, self.last_use(&key)?));
            } else {
                tracing::warn!("an entry of the store's index cannot be read; it is dropped");
                self.tasks.remove(&key)?;
            }
        }
        Ok(known)
    }

    fn last_use(&self, key: &IVec) -> Result<u64, Trouble> {
        let value = self.used.get(key)?;
        let tick = value.and_then(|value| <[u8; 8]>::try_from(&*value).ok());
        Ok(tick.map_or(0, u64::from_be_bytes))
    }
}
