//! Mounts that another process had are brought back: each by itself, so that one that cannot be stops
//! no other, and again and again until it can be, or somebody says that it need not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::causes;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;
use crate::mounts;
use crate::node::Node;
use crate::records::{Fate, Record};

/// So many are brought back side by side: most wait for nothing but the disk, some for a registry.
const AT_ONCE: usize = 8;

/// How long after one round the next begins.
const AGAIN: Duration = Duration::from_secs(10);

/// So long a process that starts waits for the first round before it says that it is there.
const FIRST: Duration = Duration::from_secs(10);

/// What is to be brought back, and why it was not yet.
#[derive(Debug, Default)]
pub struct Pending(Mutex<BTreeMap<PathBuf, (Record, String)>>);

impl Pending {
    /// Whether something is to be brought back to `at` no more: because it is there, or somebody said
    /// so.
    pub fn done(&self, at: &Path) -> bool {
        lock(&self.0).remove(at).is_some()
    }

    /// Where, which image, and why not yet.
    #[must_use]
    pub fn tell(&self) -> Vec<(PathBuf, String, String)> {
        let pending = lock(&self.0);
        let told = |(at, (record, why)): (&PathBuf, &(Record, String))| {
            (at.clone(), record.order.image.clone(), why.clone())
        };
        pending.iter().map(told).collect()
    }

    /// What is to be brought back to `at`.
    pub(crate) fn of(&self, at: &Path) -> Option<Record> {
        lock(&self.0).get(at).map(|(record, _)| record.clone())
    }

    /// The same mount is to be brought back by another record, if it still is.
    pub(crate) fn replace(&self, record: Record) {
        if let Some((there, _)) = lock(&self.0).get_mut(&record.at) {
            *there = record;
        }
    }

    fn has(&self, at: &Path) -> bool {
        lock(&self.0).contains_key(at)
    }

    fn add(&self, record: Record) {
        lock(&self.0).insert(record.at.clone(), (record, "it is being brought back".to_owned()));
    }

    fn all(&self) -> Vec<Record> {
        lock(&self.0).values().map(|(record, _)| record.clone()).collect()
    }

    /// Says why a mount is not back; whether that is news.
    fn failed(&self, at: &Path, why: &str) -> bool {
        let mut pending = lock(&self.0);
        let Some((_, said)) = pending.get_mut(at).filter(|(_, said)| *said != why) else {
            return false;
        };
        why.clone_into(said);
        true
    }
}

impl Node {
    /// Looks what another process left on this cache, and what is to be done with it.
    pub(crate) fn find_left(&self) {
        for record in self.records().all() {
            if self.serves(&record.at) {
                continue;
            }
            match self.fate(&record) {
                Fate::Restore => self.pending().add(record),
                Fate::Leave => {}
                Fate::Forget => {
                    self.records().remove(&record.at);
                }
            }
        }
    }

    fn fate(&self, record: &Record) -> Fate {
        let listed = mounts::is_ours_at(&record.at);
        record.fate(self.records().boot(), listed, self.is_lasting())
    }

    /// Tries once to bring back what is to be. Blocks.
    pub(crate) fn bring_back(&self) {
        let all = self.pending().all();
        let (threads, records) = (AT_ONCE.min(all.len()), Mutex::new(all.into_iter()));
        let next = || lock(&records).next();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(record) = next() {
                        self.bring_one_back(&record);
                    }
                });
            }
        });
    }

    fn bring_one_back(&self, record: &Record) {
        let at = &record.at;
        // The process does not end in the midst of it.
        let Some(_inside) = self.enter() else { return };
        // It may have been given up, or mounted anew, a moment ago.
        if !self.pending().has(at) {
            return;
        }
        if self.fate(record) == Fate::Forget {
            tracing::info!(at = %at.display(), "it was unmounted meanwhile");
            self.forget(at);
            return;
        }
        match self.mount_again(record) {
            Ok(()) => {
                tracing::info!(at = %at.display(), "a mount is back");
                self.pending().done(at);
            }
            Err(_) if self.serves(at) => {
                self.pending().done(at);
            }
            Err(error) => {
                let why = causes(error.as_ref());
                if self.pending().failed(at, &why) {
                    let at = at.display();
                    tracing::warn!(%at, error = why, "a mount cannot be brought back yet");
                }
            }
        }
    }
}

/// Brings back what another process left, until `stop`. Returns when each was tried once, or that
/// takes long; the rest goes on in the background.
pub(crate) async fn restoring(node: &Arc<Node>, stop: CancellationToken) {
    node.find_left();
    let node = Arc::clone(node);
    let (first, tried) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            let round = Arc::clone(&node);
            let _ = tokio::task::spawn_blocking(move || round.bring_back()).await;
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
            if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                return;
            }
        }
    });
    let _ = tokio::time::timeout(FIRST, tried).await;
}
