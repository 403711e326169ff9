//! The sparse file itself: how it comes to be, and how it goes.
//!
//! What is known of its blocks is in `known`, how they change in `change`, how they are read in
//! `read`; runs of them in `run`. `claim` is the right to change one, `handles` the two descriptors.

mod change;
mod claim;
mod handles;
mod known;
mod read;
mod run;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fixedbitset::FixedBitSet;

use self::handles::Handles;
use crate::blocks::Blocks;
use crate::error::SparseError;
use crate::map::{Map, Shape};
use crate::steps::step;

/// A file of fixed length that knows which of its blocks are there. See the crate's documentation.
#[derive(Debug)]
pub struct SparseFile {
    data_path: PathBuf,
    map_path: PathBuf,
    shape: Shape,
    blocks: Mutex<Blocks>,
    unclaimed: Condvar,
    map: Mutex<Map>,
    handles: Mutex<Handles>,
}

impl SparseFile {
    /// Makes `path`.data and `path`.map for `length` bytes in blocks of `block_size`, in place of
    /// whatever stood there: those files are unlinked, and who has one open keeps every byte of it.
    /// The folder must exist.
    ///
    /// # Errors
    /// If the shape makes no sense, or the file system refuses.
    pub fn create(path: &Path, length: u64, block_size: u32) -> Result<Self, SparseError> {
        let shape =
            Shape::new(length, block_size).ok_or(SparseError::Shape { length, block_size })?;
        let (data_path, map_path) = paths(path);
        // A map without its data is a leftover, data without a map too: so the old map goes first
        // and the new one comes last.
        remove(&map_path)?;
        remove(&data_path)?;
        let data = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&data_path)
            .map_err(SparseError::io("create", &data_path))?;
        step("data file made");
        data.set_len(length).map_err(SparseError::io("size", &data_path))?;
        step("data file sized");
        let map = Map::create(&map_path, shape)?;
        let nothing = FixedBitSet::with_capacity(shape.blocks as usize);
        Ok(Self::new(data_path, map_path, shape, map, nothing))
    }

    /// Opens what [`Self::create`] made in an earlier run: its recorded blocks are claims. Only the
    /// map is read; the data file is opened when it is first needed. Bytes that a crash left in
    /// other blocks, provisional ones for instance, are given back to the file system.
    ///
    /// # Errors
    /// If the map cannot be read or is none, or there is no data file.
    pub fn open(path: &Path) -> Result<Self, SparseError> {
        let (file, on_disk) = Self::read(path)?;
        // Less than a block may be the file system's own rounding.
        if on_disk > file.held() + u64::from(file.shape.block_size) {
            file.punch_absent();
        }
        Ok(file)
    }

    /// As [`Self::open`], but changes no byte of the data file, for somebody may read it by other
    /// ways: what lies in other blocks stays.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_untouched(path: &Path) -> Result<Self, SparseError> {
        Self::read(path).map(|(file, _)| file)
    }

    /// What an earlier run left, and how many bytes its data takes on the disk.
    fn read(path: &Path) -> Result<(Self, u64), SparseError> {
        let (data_path, map_path) = paths(path);
        let (map, shape) = Map::read(&map_path)?;
        let recorded = map.blocks(shape);
        let meta = fs::metadata(&data_path).map_err(SparseError::io("stat", &data_path))?;
        Ok((Self::new(data_path, map_path, shape, map, recorded), meta.blocks() * 512))
    }

    /// A file that has no place on any disk: none of its blocks is ever there, and whoever writes
    /// one is told that it was deleted. `path` names it in errors.
    ///
    /// # Errors
    /// If the shape makes no sense.
    pub fn nowhere(path: &Path, length: u64, block_size: u32) -> Result<Self, SparseError> {
        let shape =
            Shape::new(length, block_size).ok_or(SparseError::Shape { length, block_size })?;
        let (data_path, map_path) = paths(path);
        let nothing = FixedBitSet::with_capacity(shape.blocks as usize);
        let file = Self::new(data_path, map_path, shape, Map::empty(shape), nothing);
        *lock(&file.handles) = Handles::Deleted { removed: true };
        lock(&file.blocks).delete();
        Ok(file)
    }

    fn new(data: PathBuf, map_path: PathBuf, shape: Shape, map: Map, known: FixedBitSet) -> Self {
        Self {
            data_path: data,
            map_path,
            shape,
            blocks: Mutex::new(Blocks::new(shape.length, shape.block_size, known)),
            unclaimed: Condvar::new(),
            map: Mutex::new(map),
            handles: Mutex::new(Handles::Closed),
        }
    }

    /// Gives back what lies in absent blocks. Where that cannot be done, it stays until the file
    /// goes.
    fn punch_absent(&self) {
        let local = self.local();
        let mut absent = local.zeroes().peekable();
        while let Some(first) = absent.next() {
            let mut end = first + 1;
            while absent.next_if_eq(&end).is_some() {
                end += 1;
            }
            let size = u64::from(self.shape.block_size);
            let hole = (first as u64 * size, (end - first) as u64 * size);
            let Ok(files) = self.files_to_write() else {
                break;
            };
            if self.punch(&files, hole.0, hole.1).is_err() {
                break;
            }
        }
        self.release();
    }

    /// Removes both files, the map first. All blocks are then absent, nothing can be written any
    /// more, and who still has [`Self::data`] can go on reading it. Once that is done it does nothing:
    /// another file may stand there.
    ///
    /// # Errors
    /// If the file system refuses. Files that are gone already are no error.
    pub fn delete(&self) -> Result<(), SparseError> {
        let mut handles = lock(&self.handles);
        if matches!(*handles, Handles::Deleted { removed: true }) {
            return Ok(());
        }
        // From here on no path is opened again: a new file may soon stand there.
        *handles = Handles::Deleted { removed: false };
        lock(&self.blocks).delete();
        remove(&self.map_path)?;
        step("map unlinked");
        remove(&self.data_path)?;
        step("data unlinked");
        *handles = Handles::Deleted { removed: true };
        Ok(())
    }
}

fn paths(path: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(".data"), with(".map"))
}

fn remove(path: &Path) -> Result<(), SparseError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SparseError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Locks, whatever happened to another holder: the guarded values are valid after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
