//! Opening a store, and putting right what a crash may have left.
//!
//! Only folders and maps are read: thousands of tasks take well under a second, and nothing is
//! hashed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock, Weak};

use content::{Layout, TaskId};
use sparse::SparseFile;

use crate::clock::unix_millis;
use crate::config::StoreConfig;
use crate::error::OpenError;
use crate::facts::Facts;
use crate::flock;
use crate::index::{Index, Known};
use crate::names::{self, Part};
use crate::shared::Shared;
use crate::store::Inner;
use crate::task::{Parts, Task};

/// Opens the store that `config` names.
pub(crate) fn open(config: StoreConfig) -> Result<Arc<Inner>, OpenError> {
    config.check()?;
    let dir = &config.dir;
    let folder = dir.join("tasks");
    for needed in [dir, &folder] {
        make_folder(needed).map_err(OpenError::io(needed))?;
    }
    let lock = take_lock(dir)?;
    let index_path = dir.join("index");
    let (index, known) =
        Index::open(&index_path).map_err(|source| OpenError::Index { path: index_path, source })?;
    let files = find_files(&folder).map_err(OpenError::io(&folder))?;
    let found = take_in(&folder, files, known, &index);
    let held = found.values().map(|found| found.file.held()).sum();
    let shared = Shared::new(config.clone(), &folder, index, held, lock);
    let shared = Arc::new(shared.map_err(OpenError::io(&folder))?);
    if shared.index.is_away() {
        shared.space.probe();
    }
    tracing::info!(dir = %dir.display(), tasks = found.len(), bytes = held, quota = shared.limits().quota, "store open");
    Ok(Arc::new_cyclic(|inner| Inner {
        tasks: RwLock::new(tasks(found, &shared, inner)),
        shared,
        folder,
        changing: Mutex::default(),
        evicting: Mutex::default(),
        search_above: AtomicU64::new(0),
    }))
}

/// Makes a folder that only this user may enter, and those above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The lock that keeps a second process out.
fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = match made {
        // A file can be locked that cannot be written.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
        made => made,
    }
    .map_err(OpenError::io(&path))?;
    match flock::exclusive(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(OpenError::AlreadyOpen { dir: dir.to_owned() }),
        Err(error) => Err(OpenError::io(&path)(error)),
    }
}

/// Which of a task's two files are there.
#[derive(Clone, Copy, Default)]
struct Pair {
    data: bool,
    map: bool,
}

/// A task as it was found.
struct Found {
    file: SparseFile,
    layout: Layout,
    facts: Facts,
    last_use: u64,
}

/// Every task's files under `folder`. What is no task's file is removed.
fn find_files(folder: &Path) -> io::Result<BTreeMap<TaskId, Pair>> {
    let mut pairs = BTreeMap::<TaskId, Pair>::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            discard(&entry.path(), "is no task's");
            continue;
        }
        let prefix = entry.file_name();
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            let name = file.file_name();
            let names = prefix.to_str().zip(name.to_str());
            match names.and_then(|(prefix, name)| names::parse(prefix, name)) {
                Some((id, Part::Data)) => pairs.entry(id).or_default().data = true,
                Some((id, Part::Map)) => pairs.entry(id).or_default().map = true,
                None => discard(&file.path(), "is no task's"),
            }
        }
    }
    Ok(pairs)
}

/// Brings files and index together: the files say what is held, the index what is known.
fn take_in(
    folder: &Path,
    files: BTreeMap<TaskId, Pair>,
    mut known: Known,
    index: &Index,
) -> HashMap<TaskId, Found> {
    let mut found = HashMap::with_capacity(files.len());
    for (id, pair) in files {
        let entry = known.remove(&id);
        let before = entry.as_ref().map(|(facts, _)| facts.clone());
        match take_in_one(folder, &id, pair, entry) {
            Ok(task) => {
                if before.as_ref() != Some(&task.facts)
                    && !index.is_away()
                    && let Err(error) = index.set_facts(&id, &task.facts)
                {
                    tracing::warn!(task = %id, %error, "what was found could not be entered");
                }
                found.insert(id, task);
            }
            Err(why) => {
                let stem = names::stem(folder, &id);
                // The map first: data without a map is nothing, at the next start too.
                for extension in ["map", "data"] {
                    discard(&stem.with_extension(extension), why);
                }
                forget(index, &id);
            }
        }
    }
    for id in known.keys() {
        forget(index, id);
    }
    found
}

fn take_in_one(
    folder: &Path,
    id: &TaskId,
    pair: Pair,
    entry: Option<(Facts, u64)>,
) -> Result<Found, &'static str> {
    if !(pair.data && pair.map) {
        return Err("is one of two files");
    }
    let file = SparseFile::open(&names::stem(folder, id)).map_err(|_| "cannot be opened")?;
    let layout = Layout::told(file.length(), u64::from(file.block_size()))
        .map_err(|_| "is cut as no task is")?;
    let (mut facts, last_use) = match entry {
        Some((facts, _)) if facts.layout() != Some(layout) => {
            return Err("is cut in another way than the index says");
        }
        Some(entry) => entry,
        None if file.held() == 0 && layout.length() > 0 => {
            return Err("is not in the index and holds nothing");
        }
        None => (Facts::new(layout, ""), 0),
    };
    if file.held() < layout.length() {
        // Pieces were lost since the whole was hashed: what comes in their place is hashed anew.
        facts.whole = None;
    }
    Ok(Found { file, layout, facts, last_use })
}

fn tasks(
    found: HashMap<TaskId, Found>,
    shared: &Arc<Shared>,
    store: &Weak<Inner>,
) -> HashMap<TaskId, Arc<Task>> {
    let now = unix_millis();
    found
        .into_iter()
        .map(|(id, found)| {
            // A clock that was ahead when the task was used must not keep it for ever.
            let last_use = found.last_use.min(now);
            let parts = Parts {
                id,
                layout: found.layout,
                file: found.file,
                facts: found.facts,
                last_use,
                shared: Arc::clone(shared),
                store: Weak::clone(store),
            };
            (id, Arc::new(Task::new(parts)))
        })
        .collect()
}

fn forget(index: &Index, id: &TaskId) {
    if !index.is_away()
        && let Err(error) = index.remove(id)
    {
        tracing::warn!(task = %id, %error, "an entry of the store's index could not be removed");
    }
}

fn discard(path: &Path, why: &str) {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => tracing::info!(path = %path.display(), why, "a leftover was removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a leftover could not be removed");
        }
    }
}
