//! Where a file lies in a tree.

use std::fmt;

use crate::name::{self, Name, NameError};

/// A place in a tree, from its root: names joined by `/`, without one at either end. The root
/// itself is the empty path.
///
/// There is one spelling for each place. Sorted as a sorted walk visits: name by name, a directory
/// before what is in it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Box<[u8]>);

/// Why bytes are no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A part is `..`: nobody says what that means where symbolic links are about.
    #[error("a path has `..` in it")]
    Parent,
    /// A part is no name.
    #[error(transparent)]
    Name(NameError),
}

impl Path {
    /// The tree's root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The path that `bytes` spell. Empty parts and `.` are passed over, so `./a//b/` and `/a/b`
    /// are `a/b`; whether an absolute path is welcome is the caller's to decide.
    ///
    /// # Errors
    /// If a part is `..` or cannot be a name.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        let mut clean = Vec::with_capacity(bytes.len());
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(PathError::Parent),
                _ => name::check(part).map_err(PathError::Name)?,
            }
            push(&mut clean, part);
        }
        Ok(Self(clean.into()))
    }

    /// The path's bytes; none for the root.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        // The root has no names, but splitting nothing yields one empty part.
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// The directory that the path lies in, and its last name; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, Name)> {
        let (parent, last) = match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (self.0.get(..slash)?, self.0.get(slash.checked_add(1)?..)?),
            None => (&[][..], &self.0[..]),
        };
        Some((Self(parent.into()), Name::new(last).ok()?))
    }

    /// The path of `name` in the directory at this path.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut bytes = self.0.to_vec();
        push(&mut bytes, name.as_bytes());
        Self(bytes.into())
    }

    /// A path from parts that were checked before.
    pub(crate) fn from_clean(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Adds a name to the bytes of a path.
pub(crate) fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// As from the root, with a `/` in front; what is not printable ASCII is escaped.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
