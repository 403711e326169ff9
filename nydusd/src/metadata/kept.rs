//! The folder of kept bootstraps.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use content::Digest;
use rafs::ondisk::BLOCK;
use rafs::{Blob, BlobId, Bootstrap};
use sys::Mapping;

use super::bound;
use super::check::{check, check_root};
use super::coming::Coming;
use super::held::held;
use super::key::Key;
use super::record::{Record, Seen};
use crate::lock::lock;
use crate::mounts::BOOTSTRAP;

/// How records' names end.
pub(super) const RECORD: &str = ".json";

/// A bootstrap as it came.
#[derive(Debug)]
pub struct Fresh {
    /// The bootstrap.
    pub bootstrap: Bytes,
    /// The blobs' compression info as files, where it came beside the bootstrap.
    pub metas: HashMap<Digest, Bytes>,
}

/// A bootstrap on this node's disk that was checked.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    record: Record,
}

impl Kept {
    /// Its file, which may have bytes behind the bootstrap. It has the name as long as it is used.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bootstrap, mapped.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn map(&self) -> io::Result<Mapping> {
        Mapping::of(&self.file, 0..self.record.bootstrap)
    }

    /// A blob's compression info as a file, mapped, if it came beside the bootstrap and is needed.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub fn meta(&self, blob: &Digest) -> io::Result<Option<Bytes>> {
        let Some(range) = self.record.metas.get(blob) else { return Ok(None) };
        Ok(Some(Bytes::from_owner(Mapping::of(&self.file, range.clone())?)))
    }

    /// The bootstrap's SHA-256, if a blob of the image is named by it.
    #[must_use]
    pub const fn sha256(&self) -> Option<Digest> {
        self.record.sha256
    }
}

/// The folder.
#[derive(Debug)]
pub struct Metadata {
    folder: PathBuf,
    boot: String,
    /// What this process uses: it was hashed since the process came to it, and stays.
    used: Mutex<HashMap<String, Weak<Kept>>>,
    /// What somebody is about to use.
    coming: Coming,
}

impl Metadata {
    /// Takes a folder; it is made if it is not there. What a killed process left half done is
    /// removed. Who calls this has the cache's lock.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        bound::tidy(folder)?;
        // Where it cannot be read, every start is as good as a new one.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot = boot.unwrap_or_else(|_| format!("{:?}", SystemTime::now())).trim().to_owned();
        Ok(Self {
            folder: folder.to_owned(),
            boot,
            used: Mutex::default(),
            coming: Coming::default(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that `data` gives, while it is checked: in memory, or on this disk if it is long. Where that
    /// is full, what is kept and not used goes.
    ///
    /// # Errors
    /// Those of `data` and of the disk.
    pub fn hold(&self, data: &mut dyn Read) -> io::Result<Bytes> {
        held(data, &self.folder, &|| self.make_room())
    }

    /// The bootstrap that `key` names: as it is kept, or as `fetch` gives it. Its tree has the merkle
    /// root `root`, if that is said.
    ///
    /// # Errors
    /// Those of `fetch`; if what came is wrong, or cannot be kept.
    pub fn get(
        &self,
        key: &Key,
        root: Option<Digest>,
        fetch: impl FnOnce() -> anyhow::Result<Fresh>,
    ) -> anyhow::Result<Arc<Kept>> {
        let name = key.to_string();
        let _coming = self.coming.enter(&name);
        let there = if key.is_settled() { self.find(&name) } else { None };
        let kept = match there {
            Some(kept) => self.with_root(&name, kept, root)?,
            None => Arc::new(self.keep(&name, &fetch()?, root)?),
        };
        self.lock().insert(name, Arc::downgrade(&kept));
        self.bound();
        Ok(kept)
    }

    /// What is kept under a name, and right.
    fn find(&self, name: &str) -> Option<Arc<Kept>> {
        if let Some(kept) = self.lock().get(name).and_then(Weak::upgrade) {
            return Some(kept);
        }
        let path = self.path(name, BOOTSTRAP);
        let record = Record::read(&fs::read(self.path(name, RECORD)).ok()?)?;
        let kept = File::open(&path).and_then(|file| self.verified(name, file, record));
        match kept {
            Ok(kept) => Some(Arc::new(kept)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, path = %path.display(), "kept metadata is not what it was: it goes");
                let _ = fs::remove_file(&path);
                None
            }
            // It may be as good as ever.
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "kept metadata cannot be read now");
                None
            }
        }
    }

    /// A kept file, hashed unless that was done lately.
    fn verified(&self, name: &str, file: File, mut record: Record) -> io::Result<Kept> {
        let wrong = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let now = self.seen(&file)?;
        if file.metadata()?.len() != record.length {
            return Err(wrong("it has another length"));
        }
        if record.is_fresh(&now) {
            // It goes last now when something must.
            let _ = File::open(self.path(name, RECORD))
                .and_then(|record| record.set_modified(SystemTime::now()));
        } else {
            let mapping = Mapping::of(&file, 0..record.length)?;
            if blake3::hash(mapping.as_ref()) != record.blake3.0 {
                return Err(wrong("its bytes have changed"));
            }
            record.seen = Some(now);
            self.remember(name, &record);
        }
        Ok(Kept { path: self.path(name, BOOTSTRAP), file, record })
    }

    /// The same, whose tree has the merkle root `root`, which was computed when it was kept or is now.
    fn with_root(
        &self,
        name: &str,
        kept: Arc<Kept>,
        root: Option<Digest>,
    ) -> anyhow::Result<Arc<Kept>> {
        let (Some(said), false) = (root, root == kept.record.root) else { return Ok(kept) };
        let bootstrap = Bootstrap::parse(kept.map()?)?;
        check_root(&bootstrap, said)?;
        let mut record = kept.record.clone();
        record.root = root;
        self.remember(name, &record);
        let file = kept.file.try_clone()?;
        Ok(Arc::new(Kept { path: kept.path.clone(), file, record }))
    }

    /// Checks what came, and keeps it.
    fn keep(&self, name: &str, fresh: &Fresh, root: Option<Digest>) -> anyhow::Result<Kept> {
        let bootstrap = Bootstrap::parse(fresh.bootstrap.as_ref());
        let bootstrap = bootstrap.context("the image's metadata is wrong")?;
        check(&bootstrap, root).context("the image's metadata is wrong")?;
        let context = "the bootstrap cannot be kept";
        let (file, mut record) = match self.put(name, fresh, bootstrap.blobs()) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.make_room();
                self.put(name, fresh, bootstrap.blobs()).context(context)?
            }
            done => done.context(context)?,
        };
        record.root = root;
        let around = bootstrap.blobs().iter().any(|blob| blob.id == BlobId::Inline);
        record.sha256 = around.then(|| Digest::of(&fresh.bootstrap));
        record.seen = Some(self.seen(&file).context(context)?);
        self.remember(name, &record);
        Ok(Kept { path: self.path(name, BOOTSTRAP), file, record })
    }

    /// Writes the file: the bootstrap, and from the next block on what is needed of each blob.
    fn put(&self, name: &str, fresh: &Fresh, blobs: &[Blob]) -> io::Result<(File, Record)> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let (mut hasher, mut at) = (blake3::Hasher::new(), 0_u64);
        let mut add = |bytes: &[u8]| {
            let begin = at;
            at = at.saturating_add(bytes.len() as u64);
            hasher.update(bytes);
            file.write_all(bytes).map(|()| begin..at)
        };
        let bootstrap = add(&fresh.bootstrap)?.end;
        let mut metas = std::collections::BTreeMap::new();
        // Only chunks in batches are looked for in it.
        for blob in blobs.iter().filter(|blob| blob.has_batches()) {
            let BlobId::Digest(digest) = blob.id else { continue };
            let Some(meta) = fresh.metas.get(&digest).filter(|meta| !meta.is_empty()) else {
                continue;
            };
            let end = metas.values().map(|range: &std::ops::Range<u64>| range.end).max();
            let end = end.unwrap_or(bootstrap);
            let pad = end.next_multiple_of(BLOCK).saturating_sub(end);
            add(&vec![0; usize::try_from(pad).unwrap_or(0)])?;
            metas.insert(digest, add(meta)?);
        }
        let mut record = Record::new(hasher.finalize(), at, bootstrap);
        record.metas = metas;
        let path = self.path(name, BOOTSTRAP);
        // Who has mapped another file of this name has it still.
        let file = file.persist(&path)?;
        Ok((file, record))
    }

    /// Writes down what was just found out. Where the disk is full, the next process finds it out
    /// again, or fetches again what has no record.
    fn remember(&self, name: &str, record: &Record) {
        if let Err(error) = self.write(name, record) {
            tracing::warn!(%error, name, "what was checked of kept metadata is not remembered");
        }
    }

    /// Writes a record, all or nothing.
    fn write(&self, name: &str, record: &Record) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&record.write())?;
        file.persist(self.path(name, RECORD))?;
        Ok(())
    }

    /// How a file looks now.
    fn seen(&self, file: &File) -> io::Result<Seen> {
        let metadata = file.metadata()?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Seen {
            boot: self.boot.clone(),
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            at,
        })
    }

    /// Removes what is too much.
    fn bound(&self) {
        bound::bound(&self.folder, &self.names_used());
    }

    /// Removes all that is not used: the disk is full.
    fn make_room(&self) {
        bound::make_room(&self.folder, &self.names_used());
    }

    fn names_used(&self) -> Vec<String> {
        let mut used = self.lock();
        used.retain(|_, kept| kept.strong_count() > 0);
        used.keys().cloned().chain(self.coming.names()).collect()
    }

    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{name}{end}"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Kept>>> {
        lock(&self.used)
    }
}
