//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use content::{Layout, PieceIndex, TaskId};
use sparse::SparseError;

/// The index could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the store's index: {0}")]
pub struct IndexError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<serde_json::Error> for IndexError {
    fn from(error: serde_json::Error) -> Self {
        Self(Box::new(error))
    }
}

impl IndexError {
    pub(crate) fn why(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the store open.
    #[error("the store {} is open already; two processes never share one", dir.display())]
    AlreadyOpen {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The folder cannot be made or read.
    #[error("the store cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The index can be neither read nor made anew.
    #[error("the store cannot make its index {}", path.display())]
    Index {
        /// The index's folder.
        path: PathBuf,
        /// Why not.
        source: IndexError,
    },
    /// The configuration makes no sense.
    #[error("the store's configuration: {why}")]
    Config {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Why a task cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The task is there and is cut in another way.
    #[error("{task} is stored with {} bytes in pieces of {}, not {} in {}",
        stored.length(), stored.piece_size().bytes(), asked.length(), asked.piece_size().bytes())]
    OtherLayout {
        /// The task.
        task: TaskId,
        /// How it is cut in the store.
        stored: Layout,
        /// How it was asked for.
        asked: Layout,
    },
    /// The disk takes nothing now; pulls go on without being kept.
    #[error("the store cannot keep {task}")]
    Disk {
        /// The task.
        task: TaskId,
        /// Why not.
        source: PutError,
    },
}

/// Why a piece cannot be kept. Whatever it is, the piece itself is fine and can be used.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It is a piece of another task, or of another cut of this one.
    #[error("piece {index} of {of} is no piece of {task} as it is stored")]
    Foreign {
        /// The task that it was put into.
        task: TaskId,
        /// The task that it is of.
        of: TaskId,
        /// Its number.
        index: PieceIndex,
    },
    /// The disk or the user's share of it is full.
    #[error("{} is on a full disk", path.display())]
    Full {
        /// What was written.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// The file system is read-only.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// What was written.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// The disk refuses in another way.
    #[error("{} cannot be written", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// The store holds as much as it may, all of it in use.
    #[error("the store holds {quota} bytes, as much as it may, and all of it is in use")]
    OverQuota {
        /// The most that it may hold.
        quota: u64,
    },
    /// The task was removed from the store.
    #[error("{task} was removed from the store")]
    Gone {
        /// The task.
        task: TaskId,
    },
}

impl PutError {
    /// By what the operating system said about `path`.
    pub(crate) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// By what went wrong with the file of `task`.
    pub(crate) fn of_sparse(task: TaskId, error: SparseError) -> Self {
        match error {
            SparseError::Io { path, source, .. } => Self::of_io(&path, source),
            SparseError::Deleted { .. } => Self::Gone { task },
            SparseError::NoSuchBlock { block, .. } => {
                Self::Foreign { task, of: task, index: block }
            }
            SparseError::BadMap { ref path, .. } => {
                Self::of_io(&path.clone(), io::Error::other(error))
            }
            SparseError::Shape { .. } => Self::of_io(Path::new("."), io::Error::other(error)),
        }
    }
}

/// Why a piece cannot be read: the disk refuses. A piece that is not there, or no longer what it
/// was, is no error.
#[derive(Debug, thiserror::Error)]
#[error("a piece of {task} cannot be read")]
pub struct ReadError {
    /// The task.
    pub task: TaskId,
    /// Why not.
    pub source: SparseError,
}

/// Why a task cannot be marked as complete.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The fact is about another task, or another length of it.
    #[error("what was hashed is not {0} as it is stored")]
    Foreign(TaskId),
    /// Pieces were lost after they were hashed.
    #[error("{task} lost {missing} pieces after they were hashed")]
    Missing {
        /// The task.
        task: TaskId,
        /// How many pieces are not there.
        missing: u32,
    },
    /// A piece could not be recorded.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The index refused.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The statement is about another task, or another cut of it.
    #[error("the statement is not about {0} as it is stored")]
    Foreign(TaskId),
    /// The value is larger than the store keeps.
    #[error("{bytes} bytes are more than the index keeps under one key")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] SparseError),
    /// The index refused.
    #[error(transparent)]
    Index(#[from] IndexError),
}
