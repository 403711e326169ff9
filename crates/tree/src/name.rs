//! What a file may be called inside its directory.

use std::borrow::Borrow;
use std::fmt;

/// The longest name in bytes: `NAME_MAX` of Linux.
pub const MAX_NAME: usize = 255;

/// A file's name inside its directory: 1 to 255 bytes, neither `.` nor `..`, without `/` and NUL.
///
/// Bytes, because a file system has no say in their encoding; sorted as bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why bytes are no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There are no bytes.
    #[error("a name is empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name has {0} bytes, more than 255")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("a name is `.` or `..`")]
    Dots,
    /// A `/` or a NUL.
    #[error("a name has a `/` or a NUL in it")]
    Forbidden,
}

impl Name {
    /// The name that `bytes` are.
    ///
    /// # Errors
    /// If no file can have that name.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The name's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether `bytes` are a name.
pub(crate) fn check(bytes: &[u8]) -> Result<(), NameError> {
    match bytes {
        [] => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ if bytes.len() > MAX_NAME => Err(NameError::TooLong(bytes.len())),
        _ if bytes.iter().any(|byte| matches!(byte, 0 | b'/')) => Err(NameError::Forbidden),
        _ => Ok(()),
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Readable, and safe on a terminal: what is not printable ASCII is escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
