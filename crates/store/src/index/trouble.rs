//! Why an index was not opened, and so what helps.

use std::io;

use crate::error::IndexError;

/// Why an index was not opened.
pub(super) enum Trouble {
    /// It is there and cannot be understood: a new one helps.
    Damaged(String),
    /// The file system refuses: a new one does not help.
    Refused(IndexError),
    /// The file system takes no writes now, and sled writes when it opens.
    NoRoom(IndexError),
}

impl Trouble {
    pub(super) fn into_error(self) -> IndexError {
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
