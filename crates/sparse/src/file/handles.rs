//! The two descriptors: opened at first use, given back when nobody needs them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{SparseFile, lock};
use crate::error::SparseError;

#[derive(Debug)]
pub(super) enum Handles {
    Closed,
    Open(Arc<Files>),
    Deleted {
        /// Whether nothing of it stands under its names any more: what does is another's.
        removed: bool,
    },
}

#[derive(Debug)]
pub(super) struct Files {
    pub(super) data: Arc<File>,
    pub(super) map: File,
    read_only: bool,
}

impl SparseFile {
    /// Closes the two descriptors; they are opened again when they are needed.
    pub fn release(&self) {
        let mut handles = lock(&self.handles);
        if matches!(*handles, Handles::Open(_)) {
            *handles = Handles::Closed;
        }
    }

    /// Whether the descriptors are open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*lock(&self.handles), Handles::Open(_))
    }

    /// Whether the file was deleted, or never had a place: its successor may stand there.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        matches!(*lock(&self.handles), Handles::Deleted { .. })
    }

    pub(super) fn files(&self) -> Result<Arc<Files>, SparseError> {
        let mut handles = lock(&self.handles);
        match &*handles {
            Handles::Open(files) => Ok(Arc::clone(files)),
            Handles::Deleted { .. } => Err(SparseError::Deleted { path: self.data_path.clone() }),
            Handles::Closed => {
                let files = Arc::new(self.open_files()?);
                *handles = Handles::Open(Arc::clone(&files));
                Ok(files)
            }
        }
    }

    /// The files for a reader, to whom a deleted file is an empty one.
    pub(super) fn files_unless_deleted(&self) -> Result<Option<Arc<Files>>, SparseError> {
        match self.files() {
            Err(SparseError::Deleted { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The files for a writer, who is told plainly when the file system is read-only.
    pub(super) fn files_to_write(&self) -> Result<Arc<Files>, SparseError> {
        let files = self.files()?;
        if !files.read_only {
            return Ok(files);
        }
        self.release(); // it may have become writable since it was opened
        let files = self.files()?;
        if files.read_only {
            let cause = rustix::io::Errno::ROFS.into();
            return Err(SparseError::io("write", &self.data_path)(cause));
        }
        Ok(files)
    }

    fn open_files(&self) -> Result<Files, SparseError> {
        let open = |path: &PathBuf| {
            let both = OpenOptions::new().read(true).write(true).open(path);
            match both {
                // A file system that has become read-only can still be read.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    File::open(path).map(|file| (file, true))
                }
                other => other.map(|file| (file, false)),
            }
            .map_err(SparseError::io("open", path))
        };
        let (data, data_read_only) = open(&self.data_path)?;
        let (map, map_read_only) = open(&self.map_path)?;
        Ok(Files { data: Arc::new(data), map, read_only: data_read_only || map_read_only })
    }
}
