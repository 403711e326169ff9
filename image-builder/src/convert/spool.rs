//! Where a blob lies until it is in the target: a file without a name.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::error::ChunkingError;

/// Where blobs lie meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct SpoolFolder(PathBuf);

impl SpoolFolder {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self(folder.map_or_else(std::env::temp_dir, Path::to_owned))
    }

    /// A new file, which is gone when nobody has it open any more.
    pub(crate) fn file(&self) -> Result<Spool, ChunkingError> {
        let folder = self.0.clone();
        let file = std::fs::create_dir_all(&folder).and_then(|()| tempfile::tempfile_in(&folder));
        match file {
            Ok(file) => Ok(Spool { file, folder }),
            Err(error) => Err(ChunkingError::Spool { folder, error }),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    folder: PathBuf,
}

impl Spool {
    /// Appends these, and empties the list.
    pub(crate) fn append(&mut self, parts: &mut Vec<Bytes>) -> Result<(), ChunkingError> {
        for part in parts.drain(..) {
            let written = self.file.write_all(&part);
            written.map_err(|error| {
                let folder = self.folder.clone();
                ChunkingError::Spool { folder, error }
            })?;
        }
        Ok(())
    }

    /// What was written.
    pub(crate) fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The file, to be read.
    pub(crate) fn done(self) -> Arc<File> {
        Arc::new(self.file)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
