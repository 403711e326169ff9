//! The build cache: layers that were converted before are not converted again.
//!
//! An artifact under a name of its own, in a registry or a layout folder. Its manifest lists, for
//! each layer that was converted, a record (what the layer is, as a bootstrap of its own) and the
//! data blobs that the record needs: so the registry keeps them, and mounts them into the next
//! image. A record is found by its [`key`]; what it says is what a conversion would say, so an
//! image is the same to the byte whether its layers came from the cache or not.
//!
//! Whoever may write to the cache decides what is in the images made with it, as with every build
//! cache: chunks are verified when they are read, but against what the record says.
//!
//! The cache helps or it does not: if it cannot be read or written, that is told, and the image is
//! made all the same.

mod key;
mod list;
mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copy::copy_blob;
use super::error::ConvertError;
use super::image::Work;
use super::layer::{Converted, Shared};
use crate::oci::Descriptor;
use crate::store::{Store, StoreError};

use key::Key;
use list::{Entry, List};

/// How many layers a cache keeps unless it is said.
pub const RECORDS: usize = 200;

/// A build cache.
#[derive(Debug)]
pub struct BuildCache {
    store: Arc<dyn Store>,
    /// So many layers are kept, those that were used last.
    records: usize,
    found: BTreeMap<Key, Entry>,
    state: Mutex<State>,
}

/// What came of it.
#[derive(Debug, Default)]
struct State {
    used: Vec<Key>,
    made: Vec<Entry>,
    warnings: Vec<String>,
}

impl BuildCache {
    /// The cache at `store`, which is made there if there is none; it keeps `records` layers.
    ///
    /// # Errors
    /// If there is something else there.
    pub fn open(store: Arc<dyn Store>, records: usize) -> Result<Self, ConvertError> {
        let mut state = State::default();
        let list = match load(&*store) {
            Ok(list) => list,
            Err(ConvertError::Store(error)) => {
                state.warnings.push(format!("the build cache cannot be read: {error}"));
                List::default()
            }
            Err(error) => return Err(error),
        };
        let found = list.0.into_iter().map(|entry| (entry.key, entry)).collect();
        Ok(Self { store, records, found, state: Mutex::new(state) })
    }

    /// What did not work; the images are right all the same.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    /// How many layers came from the cache.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.state().used.len()
    }

    /// What the layer `from` became when it was converted before.
    pub(crate) fn find(&self, from: &Descriptor, shared: &Shared) -> Option<Converted> {
        let key = Key::of(&from.digest, shared);
        let entry = self.found.get(&key)?;
        match record::read(&self.store, entry, shared) {
            Ok(converted) => {
                self.state().used.push(key);
                Some(converted)
            }
            Err(why) => {
                self.warn(format!("layer {} is converted anew: {why}", from.digest));
                None
            }
        }
    }

    /// Keeps what the layer `from` has become.
    pub(crate) fn keep(&self, from: &Descriptor, converted: &Converted, work: &Work<'_>) {
        match self.try_keep(from, converted, work) {
            Ok(Some(entry)) => self.state().made.push(entry),
            // What no record can say.
            Ok(None) => {}
            Err(why) => self.warn(format!("layer {} is not kept: {why}", from.digest)),
        }
    }

    fn try_keep(
        &self,
        from: &Descriptor,
        converted: &Converted,
        work: &Work<'_>,
    ) -> Result<Option<Entry>, ConvertError> {
        let Some(record) = record::write(converted, work.cut(), &work.shared.spool)? else {
            return Ok(None);
        };
        for blob in &converted.blobs {
            let (digest, length) = (&blob.digest, blob.length);
            match blob.new_blob() {
                Some(_) if self.store.mount_blob(digest, work.target.place())? => {}
                Some(new) => self.store.put_blob(&new)?,
                None => {
                    let from = blob.lies.store().unwrap_or(work.target);
                    copy_blob(from, &*self.store, digest, length, &work.shared.spool)?;
                }
            }
        }
        self.store.put_blob(&record)?;
        let key = Key::of(&from.digest, work.shared);
        Ok(Some(Entry::new(key, from.digest, &record, &converted.blobs)))
    }

    /// Lists what is new. What others have written meanwhile stays.
    pub(crate) fn finish(&self) {
        if self.state().made.is_empty() {
            return;
        }
        if let Err(error) = self.publish() {
            self.warn(format!("the build cache cannot be written: {error}"));
        }
    }

    fn publish(&self) -> Result<(), ConvertError> {
        let there = load(&*self.store)?;
        let (made, used) = {
            let state = self.state();
            (state.made.clone(), state.used.clone())
        };
        let list = there.with(made, &used, self.records);
        let (config, kind, bytes) = list.manifest();
        self.store.put_blob(&config.map_err(ConvertError::Spooling)?)?;
        Ok(self.store.put_top(kind, &bytes)?)
    }

    fn warn(&self, warning: String) {
        self.state().warnings.push(warning);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Lists have no state in between that a panic could leave.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the cache lists; nothing, if there is none yet.
fn load(store: &dyn Store) -> Result<List, ConvertError> {
    match store.top() {
        Ok(document) => {
            List::read(&document).ok_or_else(|| ConvertError::NoCache(store.place().to_string()))
        }
        Err(error) if error.is_missing() => Ok(List::default()),
        // Of a name that another tag of this folder has, too.
        Err(StoreError::WhichTag { .. }) => Ok(List::default()),
        Err(error) => Err(error.into()),
    }
}
