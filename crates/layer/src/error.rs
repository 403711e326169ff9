//! Why bytes are no tar that is taken.

use std::io;

use crate::pax::PaxError;
use crate::unpack::Bomb;

/// Why bytes are no tar that is taken.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// They could not be read, or not be decompressed.
    #[error("the layer cannot be read: {0}")]
    Read(#[source] io::Error),
    /// More than a layer may hold.
    #[error(transparent)]
    Bomb(#[from] Bomb),
    /// They end before the archive does.
    #[error("the archive is cut off after {0} bytes")]
    Truncated(u64),
    /// A header's checksum is wrong, or it is no header at all.
    #[error("at byte {0} there is no header")]
    NoHeader(u64),
    /// A field of a header makes no sense.
    #[error("{path}: the {field} makes no sense")]
    Field {
        /// The member.
        path: String,
        /// The field.
        field: &'static str,
    },
    /// An extended header makes no sense.
    #[error("an extended header makes no sense: {0}")]
    Pax(#[from] PaxError),
    /// An extended header, or a long name, of more than 1 MiB.
    #[error("an extended header has {0} bytes")]
    LongExtension(u64),
    /// Two of a kind before one member, or one before none: programs disagree which counts.
    #[error("there are extended headers that do not belong to one file")]
    StrayExtension,
    /// Two different names for one member.
    #[error("{0} has two names")]
    TwoNames(String),
    /// Data after something that has none: programs disagree whether it is there.
    #[error("{0} is no file and has data")]
    DataAfterNoFile(String),
    /// The map of a sparse file does not fit it.
    #[error("{0}: the map of a sparse file does not fit it")]
    SparseMap(String),
    /// A kind of member that no image has.
    #[error("{path} is of the unknown type {kind:?}")]
    UnknownKind {
        /// The member.
        path: String,
        /// The byte that says its type.
        kind: char,
    },
    /// More members, or more about them, than a layer may have.
    #[error("the layer has more {0} than it may have")]
    TooMany(&'static str),
}

impl TarError {
    /// What went wrong while bytes were read, by its own name where it has one.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.downcast::<Bomb>() {
            Ok(bomb) => Self::Bomb(bomb),
            Err(error) => Self::Read(error),
        }
    }
}

/// A path for an error: escaped, and no longer than anybody reads.
pub(crate) fn printable(path: &[u8]) -> String {
    path.get(..path.len().min(512)).unwrap_or_default().escape_ascii().to_string()
}
