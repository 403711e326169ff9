//! The one place where symbolic links are followed, always inside the tree.
//!
//! As a process sees it whose root directory the tree is: an absolute target begins at the tree's
//! root, and `..` at the root stays there. So no link leads out.

use crate::inode::{InodeId, Kind};
use crate::name::Name;
use crate::path::Path;
use crate::tree::Tree;

/// How many symbolic links one path may lead through: `MAXSYMLINKS` of Linux.
pub const MAX_LINKS: usize = 40;

/// How many parts one path may come to, with those of the links in it: more than `PATH_MAX` of
/// Linux lets one path have, and little enough to try.
const MAX_PARTS: usize = 8192;

/// Why a path does not lead to a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// More than [`MAX_LINKS`] links, so most likely a cycle.
    #[error("too many symbolic links on the way")]
    TooManyLinks,
    /// More than 8192 parts, with those of the links.
    #[error("too long a way")]
    TooLong,
    /// Something on the way is neither a directory nor a symbolic link.
    #[error("a file on the way is not a directory")]
    NotADirectory,
    /// A link's target is no path: a part is too long or has a NUL in it.
    #[error("a symbolic link on the way has a target that is no path")]
    BadTarget,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The deepest directory on the way that is there.
    pub directory: InodeId,
    /// The names under it that are not there; none if the whole path is.
    pub missing: Vec<Name>,
    /// How many symbolic links were followed.
    pub links: usize,
}

impl<C> Tree<C> {
    /// Where `path` leads from the root when every symbolic link on it is followed, the last part
    /// too.
    ///
    /// # Errors
    /// If it leads through a file that is no directory, or through too many links.
    pub fn resolve(&self, path: &Path) -> Result<Resolved, ResolveError> {
        self.resolve_from(InodeId::ROOT, path.as_bytes())
    }

    /// Where the bytes of a path or of a link's target lead from the directory `from`.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_from(&self, from: InodeId, bytes: &[u8]) -> Result<Resolved, ResolveError> {
        let mut at = Resolved { directory: from, missing: Vec::new(), links: 0 };
        let mut parts: Vec<&[u8]> = Vec::new();
        expand(&mut at, &mut parts, bytes)?;
        while let Some(part) = parts.pop() {
            match part {
                b"" | b"." => {}
                b".." => self.ascend(&mut at),
                _ if !at.missing.is_empty() => at.missing.push(named(part)?),
                _ => self.descend(&mut at, &mut parts, part)?,
            }
        }
        Ok(at)
    }

    /// One directory up: out of a missing one first.
    fn ascend(&self, at: &mut Resolved) {
        if at.missing.pop().is_none()
            && let Some(here) = self.directory(at.directory)
        {
            at.directory = here.parent();
        }
    }

    /// One name down, from a directory that is there.
    fn descend<'a>(
        &'a self,
        at: &mut Resolved,
        parts: &mut Vec<&'a [u8]>,
        part: &[u8],
    ) -> Result<(), ResolveError> {
        let here = self.directory(at.directory).ok_or(ResolveError::NotADirectory)?;
        let Some(next) = here.get(part) else {
            at.missing.push(named(part)?);
            return Ok(());
        };
        match self.get(next).map(|inode| inode.kind()) {
            Some(Kind::Directory(_)) => at.directory = next,
            Some(Kind::Symlink(target)) if at.links < MAX_LINKS => {
                at.links = at.links.saturating_add(1);
                expand(at, parts, target)?;
            }
            Some(Kind::Symlink(_)) => return Err(ResolveError::TooManyLinks),
            _ => return Err(ResolveError::NotADirectory),
        }
        Ok(())
    }
}

/// Puts the parts of `target` before those that are left.
fn expand<'a>(
    at: &mut Resolved,
    parts: &mut Vec<&'a [u8]>,
    target: &'a [u8],
) -> Result<(), ResolveError> {
    if target.first() == Some(&b'/') {
        at.directory = InodeId::ROOT;
    }
    parts.extend(target.rsplit(|byte| *byte == b'/'));
    if parts.len() > MAX_PARTS { Err(ResolveError::TooLong) } else { Ok(()) }
}

fn named(part: &[u8]) -> Result<Name, ResolveError> {
    Name::new(part).map_err(|_| ResolveError::BadTarget)
}
