//! What an operator is told: the words of `dfdaemon cache`, here and over the socket.

use serde::{Deserialize, Serialize};
use store::{ReadError, StoreError};

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The tasks, in the order of their names.
    pub tasks: Vec<Entry>,
    /// How many bytes they hold together.
    pub bytes: u64,
    /// The most that they may hold.
    pub quota: u64,
    /// Whether the disk takes writes.
    pub writable: bool,
}

/// One stored task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name: `sha256:…` of a blob, `url:…` of anything else.
    pub task: String,
    /// What it is.
    pub kind: Kind,
    /// Its media type; empty where it is not known.
    pub media_type: String,
    /// How long it is, in bytes.
    pub length: u64,
    /// How many bytes of it are here.
    pub present: u64,
    /// Whether all of it is here and matched its SHA-256.
    pub complete: bool,
    /// Whether it is kept from eviction.
    pub pinned: bool,
    /// When it was last used, in Unix seconds.
    pub last_use: u64,
}

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A registry object, named by its digest.
    Blob,
    /// A file that was named by a URL.
    Url,
}

/// Tasks that something was done to, and those that it was not done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// To these it was done.
    pub tasks: Vec<String>,
    /// How many bytes they held, if they are gone.
    pub bytes: u64,
    /// To these it was not done.
    pub left: Vec<Left>,
}

/// A task that something was not done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The task, as it was named.
    pub task: String,
    /// Why not.
    pub why: String,
}

/// What a collection took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// How many tasks.
    pub tasks: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many bytes are left.
    pub left: u64,
}

/// How far a verification is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Step {
    /// So many bytes were read, of so many.
    Progress {
        /// Read.
        bytes: u64,
        /// In all.
        of: u64,
    },
    /// A task is done.
    Task {
        /// The task.
        task: String,
        /// Pieces that are what they should be.
        fine: u64,
        /// Pieces that were not; they were dropped.
        damaged: u64,
        /// Pieces of which nobody knows what they should be.
        unknown: u64,
    },
    /// It could not go on.
    Failed {
        /// Why.
        error: String,
    },
    /// All tasks are done: the last step.
    Done,
}

/// Why something could not be done at all.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A name that stands for no stored task.
    #[error("{0}: nothing of that name is stored")]
    Unknown(String),
    /// A short name that stands for several.
    #[error("{0} stands for more than one task; give more of it")]
    Ambiguous(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
