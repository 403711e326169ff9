//! What is known of each task, in sled; the only file that names it.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `tasks` | task (33 bytes: kind, name) | [`Facts`](crate::facts::Facts) as JSON |
//! | `used` | task | last use, Unix milliseconds, 8 bytes big-endian |
//! | `statements` | task, first piece, end (4 bytes big-endian each), whole (0, 1) | length of the body (4 bytes), body, signature |
//! | `digests` | task, number of the first piece of a page of 1024 (4 bytes) | per piece: number (4 bytes), BLAKE3 digest |
//! | `grants` | whatever the caller chose | when it ends, Unix seconds, 8 bytes; value |
//!
//! Writes go to the disk within a second, or at [`Index::flush`]. What a kill takes away can be
//! fetched anew, so nothing else waits for the disk.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use content::{PieceDigest, PieceIndex, Run, SignedStatement, TaskId};
use sled::{Batch, Db, IVec, Tree};

use crate::error::IndexError;
use crate::facts::Facts;
use crate::flock;
use crate::lock::{read, write};
use crate::names;
use crate::recover::make_folder;

/// The index of one store.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// `None` where the disk did not let it be opened: it is full or read-only.
    trees: RwLock<Option<Trees>>,
}

#[derive(Debug)]
struct Trees {
    db: Db,
    tasks: Tree,
    used: Tree,
    statements: Tree,
    digests: Tree,
    grants: Tree,
}

/// Everything that is known of all tasks, as it is read at the start.
pub(crate) type Known = HashMap<TaskId, (Facts, u64)>;

/// Pieces whose digests share one entry.
const PAGE: u32 = 1024;

/// The largest value that is kept under one key, grants included.
pub(crate) const MAX_VALUE: usize = 1 << 20;

/// sled's own memory. The index is small and mostly written.
const CACHE: u64 = 8 << 20;

impl Index {
    /// Opens the index at `path` and reads what it knows. One that cannot be read is set aside,
    /// and a new one is made.
    pub(crate) fn open(path: &Path) -> Result<(Self, Known), IndexError> {
        // A renewal that was cut off: before the old index went, the new one is not whole.
        let unnamed = unnamed(path);
        if path.exists() {
            remove(&unnamed)?;
        } else if unnamed.exists() {
            fs::rename(&unnamed, path).map_err(|error| IndexError::why(error.to_string()))?;
        }
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
            remove(&self.path)?;
            fs::rename(&unnamed, &self.path).map_err(|error| IndexError::why(error.to_string()))?;
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

    /// Keeps a statement about `run`, unless it says nothing new; the ones that it makes
    /// superfluous go.
    pub(crate) fn add_statement(
        &self,
        id: &TaskId,
        run: Run,
        whole: bool,
        signed: &SignedStatement,
    ) -> Result<(), IndexError> {
        self.with(|trees| {
            let mut batch = Batch::default();
            for entry in trees.statements.scan_prefix(names::key(id)).keys() {
                let key = entry?;
                let Some((other, other_whole)) = statement_key(&key) else {
                    batch.remove(key);
                    continue;
                };
                if covers((other, other_whole), (run, whole))
                    && (other, other_whole) != (run, whole)
                {
                    return Ok(());
                }
                if covers((run, whole), (other, other_whole)) {
                    batch.remove(key);
                }
            }
            let length = u32::try_from(signed.body.len()).unwrap_or(u32::MAX);
            let value = [&length.to_be_bytes(), &*signed.body, &*signed.signature].concat();
            let key = [
                &names::key(id)[..],
                &run.first.to_be_bytes(),
                &run.end.to_be_bytes(),
                &[u8::from(whole)],
            ];
            batch.insert(key.concat(), value);
            Ok(trees.statements.apply_batch(batch)?)
        })
    }

    /// The statements about a task, as they came.
    pub(crate) fn statements(&self, id: &TaskId) -> Result<Vec<SignedStatement>, IndexError> {
        self.with(|trees| {
            let entries = trees.statements.scan_prefix(names::key(id)).values();
            let read = entries.filter_map(|value| match value {
                Ok(value) => statement(&value).map(Ok),
                Err(error) => Some(Err(error.into())),
            });
            read.collect()
        })
    }

    /// Keeps the digests of pieces that this node took from the origin itself.
    pub(crate) fn add_digests(
        &self,
        id: &TaskId,
        digests: &[(PieceIndex, PieceDigest)],
    ) -> Result<(), IndexError> {
        self.with(|trees| {
            for page in digests.chunk_by(|(a, _), (b, _)| a / PAGE == b / PAGE) {
                let Some((first, _)) = page.first() else {
                    continue;
                };
                let key = digest_key(id, *first);
                // What was there goes last: of two digests of a piece the first found counts.
                let mut value = Vec::new();
                for (index, digest) in page {
                    value.extend_from_slice(&index.to_be_bytes());
                    value.extend_from_slice(digest.as_bytes());
                }
                if let Some(before) = trees.digests.get(&key)? {
                    let room = (PAGE as usize * 36).saturating_sub(value.len());
                    value.extend_from_slice(&before[..before.len().min(room)]);
                }
                trees.digests.insert(key, value)?;
            }
            Ok(())
        })
    }

    /// The digest of a piece that this node took from the origin itself.
    pub(crate) fn digest(
        &self,
        id: &TaskId,
        index: PieceIndex,
    ) -> Result<Option<PieceDigest>, IndexError> {
        self.with(|trees| {
            let page = trees.digests.get(digest_key(id, index))?;
            Ok(page.and_then(|page| {
                let (entries, _) = page.as_chunks::<36>();
                let entry = entries.iter().find(|entry| entry[..4] == index.to_be_bytes())?;
                let digest: [u8; 32] = entry[4..].try_into().ok()?;
                Some(PieceDigest::from_bytes(digest))
            }))
        })
    }

    /// The digests of all pieces that this node took from the origin itself. Of two of one piece the
    /// first counts.
    pub(crate) fn digests(
        &self,
        id: &TaskId,
    ) -> Result<Vec<(PieceIndex, PieceDigest)>, IndexError> {
        self.with(|trees| {
            let mut all = Vec::new();
            for page in trees.digests.scan_prefix(names::key(id)).values() {
                let page = page?;
                let (entries, _) = page.as_chunks::<36>();
                all.extend(entries.iter().filter_map(|entry| {
                    let (index, digest) = entry.split_first_chunk::<4>()?;
                    let digest = PieceDigest::from_bytes(digest.try_into().ok()?);
                    Some((PieceIndex::from_be_bytes(*index), digest))
                }));
            }
            Ok(all)
        })
    }

    pub(crate) fn put_grant(&self, key: &[u8], value: &[u8], ends: u64) -> Result<(), IndexError> {
        let entry = [&ends.to_be_bytes(), value].concat();
        self.with(|trees| Ok(trees.grants.insert(key, entry).map(|_| ())?))
    }

    pub(crate) fn grant(&self, key: &[u8], now: u64) -> Result<Option<Vec<u8>>, IndexError> {
        self.with(|trees| {
            let entry = trees.grants.get(key)?;
            Ok(entry.and_then(|entry| live_grant(&entry, now).map(<[u8]>::to_vec)))
        })
    }

    /// Removes the grants that have ended; says how many.
    pub(crate) fn sweep_grants(&self, now: u64) -> Result<u64, IndexError> {
        self.with(|trees| {
            let mut swept = 0;
            for entry in &trees.grants {
                let (key, value) = entry?;
                if live_grant(&value, now).is_none() {
                    trees.grants.remove(key)?;
                    swept += 1;
                }
            }
            Ok(swept)
        })
    }
}

/// Why an index was not opened.
enum Trouble {
    /// It is there and cannot be understood: a new one helps.
    Damaged(String),
    /// The file system refuses: a new one does not help.
    Refused(IndexError),
    /// The file system takes no writes now, and sled writes when it opens.
    NoRoom(IndexError),
}

impl Trouble {
    fn into_error(self) -> IndexError {
        match self {
            Self::Damaged(why) => IndexError::why(why),
            Self::Refused(error) | Self::NoRoom(error) => error,
        }
    }
}

impl From<sled::Error> for Trouble {
    fn from(error: sled::Error) -> Self {
        match &error {
            // sled meets damage as a short or nonsensical file too; only these mean "not allowed".
            sled::Error::Io(io) if takes_no_writes(io) => Self::NoRoom(error.into()),
            sled::Error::Io(io) if is_refusal(io) => Self::Refused(error.into()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

fn takes_no_writes(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem)
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::PermissionDenied | Kind::NotFound | Kind::WouldBlock)
        || matches!(error.raw_os_error(), Some(code)
        if code == rustix::io::Errno::MFILE.raw_os_error() || code == rustix::io::Errno::IO.raw_os_error())
}

/// Opens the index and reads all facts. sled 0.34 panics on some damaged files; that is damage
/// too, not the end of the process.
fn try_open(path: &Path) -> Result<(Trees, Known), Trouble> {
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

/// Waits until nobody has sled's file locked: it asks for the lock only once.
fn wait_for_lock(path: &Path) -> io::Result<()> {
    match File::open(path.join("db")) {
        Ok(file) if flock::exclusive(&file)? => Ok(()),
        Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where a new index is made while the old one is still there.
fn unnamed(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn remove(path: &Path) -> Result<(), IndexError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(IndexError::why(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Keeps one unreadable index for whoever wants to know why.
fn set_aside(path: &Path) -> Result<(), IndexError> {
    let aside = path.with_extension("damaged");
    remove(&aside)?;
    fs::rename(path, aside).map_err(|error| IndexError::why(error.to_string()))
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
    fn copy(&self, old: &Self) -> Result<(), IndexError> {
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

fn remove_prefix(tree: &Tree, prefix: &[u8]) -> Result<(), IndexError> {
    let mut batch = Batch::default();
    for key in tree.scan_prefix(prefix).keys() {
        batch.remove(key?);
    }
    Ok(tree.apply_batch(batch)?)
}

fn digest_key(id: &TaskId, index: PieceIndex) -> Vec<u8> {
    let page = index / PAGE * PAGE;
    [&names::key(id)[..], &page.to_be_bytes()].concat()
}

fn statement_key(key: &[u8]) -> Option<(Run, bool)> {
    let (_, rest) = key.split_first_chunk::<33>()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let run = Run { first: u32::from_be_bytes(*first), end: u32::from_be_bytes(*end) };
    Some((run, *rest.first()? == 1))
}

/// Whether a statement about `a` makes one about `b` superfluous: it covers its pieces, and was
/// said of the whole if the other was.
const fn covers(a: (Run, bool), b: (Run, bool)) -> bool {
    let pieces = a.0.first <= b.0.first && b.0.end <= a.0.end;
    pieces && (a.1 || !b.1)
}

fn statement(value: &[u8]) -> Option<SignedStatement> {
    let (length, rest) = value.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (body, signature) = rest.split_at_checked(length)?;
    Some(SignedStatement { body: body.to_vec(), signature: signature.to_vec() })
}

fn live_grant(entry: &[u8], now: u64) -> Option<&[u8]> {
    let (ends, value) = entry.split_first_chunk()?;
    (u64::from_be_bytes(*ends) > now).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> (tempfile::TempDir, Index) {
        let folder = tempfile::tempdir().unwrap();
        let (index, known) = Index::open(&folder.path().join("index")).unwrap();
        assert!(known.is_empty());
        (folder, index)
    }

    fn signed(word: &str) -> SignedStatement {
        SignedStatement { body: word.into(), signature: vec![1; 64] }
    }

    #[test]
    fn a_statement_replaces_what_it_covers() {
        let (_folder, index) = index();
        let id = TaskId::Url([1; 32]);
        let run = |first, end| Run { first, end };
        let add = |run, whole, word| index.add_statement(&id, run, whole, &signed(word)).unwrap();
        let words = || {
            let all = index.statements(&id).unwrap().into_iter();
            all.map(|s| String::from_utf8(s.body).unwrap()).collect::<Vec<_>>()
        };
        add(run(0, 2), false, "a");
        add(run(2, 4), false, "b");
        assert_eq!(words(), ["a", "b"]);
        add(run(0, 3), false, "c");
        assert_eq!(words(), ["c", "b"]);
        add(run(0, 4), true, "whole");
        assert_eq!(words(), ["whole"]);
        add(run(1, 2), false, "late");
        assert_eq!(words(), ["whole"]);
        add(run(4, 8), true, "second half");
        assert_eq!(words(), ["whole", "second half"]);
        add(run(0, 4), true, "again");
        assert_eq!(words(), ["again", "second half"]);
        let other = TaskId::Blob(content::Digest::of(b""));
        assert!(index.statements(&other).unwrap().is_empty());
        index.remove(&id).unwrap();
        assert!(words().is_empty());
    }

    #[test]
    fn own_digests_are_found_on_their_pages() {
        let (_folder, index) = index();
        let id = TaskId::Url([1; 32]);
        let digest = |n: u8| PieceDigest::from_bytes([n; 32]);
        let first = [(0, digest(0)), (1023, digest(1)), (1024, digest(2))];
        index.add_digests(&id, &first).unwrap();
        index.add_digests(&id, &[(5, digest(3)), (0, digest(4))]).unwrap();
        let found = [0, 5, 1023, 1024, 7, 2048].map(|index_| index.digest(&id, index_).unwrap());
        let wanted = [Some(4), Some(3), Some(1), Some(2), None, None];
        assert_eq!(found, wanted.map(|n| n.map(digest)));
    }

    #[test]
    fn grants_end() {
        let (_folder, index) = index();
        index.put_grant(b"a", b"one", 10).unwrap();
        index.put_grant(b"b", b"two", 20).unwrap();
        assert_eq!(index.grant(b"a", 9).unwrap(), Some(b"one".to_vec()));
        assert_eq!(index.grant(b"a", 10).unwrap(), None);
        assert_eq!(index.sweep_grants(10).unwrap(), 1);
        assert_eq!(index.grant(b"b", 10).unwrap(), Some(b"two".to_vec()));
        assert_eq!(index.grant(b"c", 10).unwrap(), None);
    }

    #[test]
    fn a_renewed_index_knows_what_the_old_one_knew() {
        let (folder, index) = index();
        let id = TaskId::Url([1; 32]);
        let layout = content::Layout::for_length(9).unwrap();
        let run = Run { first: 0, end: 1 };
        let digest = PieceDigest::from_bytes([5; 32]);
        index.set_facts(&id, &Facts::new(layout, "a/b")).unwrap();
        index.set_used(&id, 7).unwrap();
        index.add_statement(&id, run, true, &signed("x")).unwrap();
        index.add_digests(&id, &[(0, digest)]).unwrap();
        index.put_grant(b"a", b"one", 10).unwrap();
        index.renew().unwrap();
        index.renew().unwrap();
        assert_eq!(index.statements(&id).unwrap(), [signed("x")]);
        assert_eq!(index.digest(&id, 0).unwrap(), Some(digest));
        assert_eq!(index.grant(b"a", 9).unwrap(), Some(b"one".to_vec()));
        drop(index);
        // A renewal that was cut off after the old index went is finished at the next start.
        let path = folder.path().join("index");
        fs::rename(&path, unnamed(&path)).unwrap();
        let (index, known) = Index::open(&path).unwrap();
        assert_eq!(known.get(&id), Some(&(Facts::new(layout, "a/b"), 7)));
        drop(index);
        // One that was cut off before has left a half-made one.
        fs::create_dir(unnamed(&path)).unwrap();
        assert_eq!(Index::open(&path).unwrap().1.len(), 1);
        assert!(!unnamed(&path).exists());
    }
}
