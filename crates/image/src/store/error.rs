//! Why an image cannot be read or written.

use std::io;
use std::path::PathBuf;

use content::Digest;

use crate::oci::TopError;

/// Why an image cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file says no.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// A blob cannot be read to its end.
    #[error("blob {digest} cannot be read: {error}")]
    Read {
        /// Which.
        digest: Digest,
        /// Why.
        error: io::Error,
    },
    /// It is no OCI layout.
    #[error("{path} is no OCI layout: it has no index.json that can be read", path = .0.display())]
    NoLayout(PathBuf),
    /// It is a tar, but of something else.
    #[error("{path} has neither index.json nor manifest.json: it is no image", path = .0.display())]
    NoArchive(PathBuf),
    /// An archive names a file that it does not have.
    #[error("{path} has no {what}, which its manifest.json names", path = path.display())]
    MissingMember {
        /// What is missing.
        what: String,
        /// The archive.
        path: PathBuf,
    },
    /// A file of an archive is longer than it may be.
    #[error("{what} has {length} bytes, and {limit} are the most that are taken")]
    LongMember {
        /// Which.
        what: String,
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// What is read is not written to.
    #[error("{0} was opened to be read")]
    ReadOnly(String),
    /// There is no image of that name.
    #[error("{place} has no image `{tag}`; it has: {there}")]
    NoSuchTag {
        /// Where.
        place: String,
        /// What was asked for.
        tag: String,
        /// What is there.
        there: String,
    },
    /// There are several images, and none was named.
    #[error("{place} has several images, name one of them behind a colon: {there}")]
    WhichTag {
        /// Where.
        place: String,
        /// What is there.
        there: String,
    },
    /// There is no image at all.
    #[error("{0} has no image")]
    Empty(String),
    /// There is no such blob.
    #[error("there is no blob {digest} in {place}")]
    NoSuchBlob {
        /// Which.
        digest: Digest,
        /// Where.
        place: String,
    },
    /// It is longer than it may be.
    #[error("{digest} has {length} bytes, and {limit} are the most that are taken")]
    TooLong {
        /// Which.
        digest: Digest,
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// A manifest or index cannot be understood.
    #[error("{what}: {error}")]
    Document {
        /// Which.
        what: String,
        /// Why.
        error: TopError,
    },
    /// It has another digest than it should.
    #[error("{expected} was asked for, and what is there is {actual}")]
    OtherDigest {
        /// What was asked for.
        expected: Digest,
        /// What is there.
        actual: Digest,
    },
    /// A registry's tag is written to, not a digest.
    #[error("an image is written under a tag, and {0} names a digest: write HOST/REPOSITORY:TAG")]
    NoTag(String),
    /// How registries are reached makes no sense.
    #[error("the registry cannot be reached so: {0}")]
    Config(#[from] registry::ConfigError),
    /// A registry says no.
    #[error("{place}: {error}")]
    Registry {
        /// Where.
        place: String,
        /// What it says.
        error: registry::Error,
    },
}

impl StoreError {
    /// What kind of failure this is: whether there is nothing of that name, whether it is not for
    /// us, or whether whoever was asked is away or too busy.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        use registry::Error;
        match self {
            Self::File { error, .. } | Self::Read { error, .. } => error.kind(),
            Self::NoSuchBlob { .. } | Self::NoSuchTag { .. } => io::ErrorKind::NotFound,
            Self::Registry { error, .. } => match error {
                Error::Refused(said) if said.status == 404 => io::ErrorKind::NotFound,
                Error::Refused(said) if matches!(said.status, 401 | 403) => {
                    io::ErrorKind::PermissionDenied
                }
                Error::Timeout { .. } => io::ErrorKind::TimedOut,
                Error::Network { .. } => io::ErrorKind::NotConnected,
                error if error.is_transient() => io::ErrorKind::ResourceBusy,
                _ => io::ErrorKind::Other,
            },
            _ => io::ErrorKind::Other,
        }
    }

    /// Whether there is no image of that name; it may be made.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NoLayout(_) | Self::NoSuchTag { .. } | Self::Empty(_) => true,
            Self::Registry { error: registry::Error::Refused(said), .. } => said.status == 404,
            _ => false,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}
