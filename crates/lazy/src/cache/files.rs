//! A blob's file in the folder: one of an earlier run, a new one, or none.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rafs::ondisk::BLOCK;
use sparse::{SparseError, SparseFile};

use crate::device;

/// When the file with this map was used last, as far as its times tell.
pub(super) fn used(map: &Path) -> Option<SystemTime> {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    time(map).max(time(&map.with_extension("data")))
}

/// The file of an earlier run. If it has served as a device, no byte of it changes by that.
pub(super) fn kept(path: &Path) -> Result<SparseFile, SparseError> {
    if device::is_marked(path) { SparseFile::open_untouched(path) } else { SparseFile::open(path) }
}

/// The file of an earlier run, if there is one, it is one, and it is long enough.
pub(super) fn long_enough(path: &Path, length: u64) -> Result<Option<SparseFile>, SparseError> {
    match kept(path) {
        Ok(file) => {
            let good = file.length() >= length && u64::from(file.block_size()) == BLOCK;
            Ok(good.then_some(file))
        }
        Err(error)
            if error.as_io().is_some_and(|error| error.kind() != io::ErrorKind::NotFound) =>
        {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

/// The file of an earlier run if it is one and long enough, otherwise a new one: who has the old one
/// open as a device keeps it.
pub(super) fn file(path: &Path, length: u64) -> Result<SparseFile, SparseError> {
    if let Some(file) = long_enough(path, length)? {
        return Ok(file);
    }
    let block = u32::try_from(BLOCK).unwrap_or(u32::MAX);
    let file = SparseFile::create(path, length, block)?;
    device::unmark(path);
    Ok(file)
}

/// A file that keeps nothing. Blocks of the right size and so many always make a shape.
pub(super) fn nowhere(path: &Path, length: u64) -> SparseFile {
    let block = u32::try_from(BLOCK).unwrap_or(u32::MAX);
    SparseFile::nowhere(path, length, block)
        .unwrap_or_else(|_| unreachable!("64 GiB are fewer blocks than a map can have"))
}
