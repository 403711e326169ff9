//! Directories held open while they are filled, so that nothing is ever looked up by a path that
//! somebody could have replaced: every name is opened in its directory, links are not followed.

use std::ffi::CString;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags};
use tree::Path;

/// How a directory is opened: it, and not what a link in its place leads to.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How many directories of a deep tree are held open; those above are opened again on the way up.
const HELD: usize = 64;

/// Which directory it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity(u64, u64);

fn identity(directory: impl AsFd) -> io::Result<Identity> {
    let stat = fs::fstat(directory)?;
    Ok(Identity(stat.st_dev, stat.st_ino))
}

/// The directories from the target down to where files are being made.
#[derive(Debug)]
pub(super) struct Place {
    /// Those above, from the target down: open if not too far up, and which they are.
    above: Vec<(Option<OwnedFd>, Identity)>,
    here: OwnedFd,
    root: OwnedFd,
}

/// A name for the kernel. Names of a tree have no NUL.
pub(super) fn c_name(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(io::Error::other)
}

impl Place {
    /// At the target, which the caller opened.
    pub(super) fn new(root: OwnedFd) -> io::Result<Self> {
        let here = fs::openat(&root, c".", DIRECTORY, Mode::empty())?;
        Ok(Self { above: Vec::new(), here, root })
    }

    /// The directory in which files are being made.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.here.as_fd()
    }

    /// Makes the directory `name` here, and goes in.
    pub(super) fn make(&mut self, name: &[u8]) -> io::Result<()> {
        let name = c_name(name)?;
        fs::mkdirat(&self.here, &name, Mode::RWXU)?;
        let made = fs::openat(&self.here, &name, DIRECTORY, Mode::empty())?;
        let identity = identity(&self.here)?;
        let here = std::mem::replace(&mut self.here, made);
        self.above.push((Some(here), identity));
        let far = self.above.len().checked_sub(HELD);
        if let Some((held, _)) = far.and_then(|far| self.above.get_mut(far)) {
            *held = None;
        }
        Ok(())
    }

    /// Goes up. What was left is returned, still open; `None` at the target.
    pub(super) fn leave(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some((held, expected)) = self.above.pop() else { return Ok(None) };
        let up = match held {
            Some(up) => up,
            None => fs::openat(&self.here, c"..", DIRECTORY, Mode::empty())?,
        };
        if identity(&up)? != expected {
            let said = "its parent directory was replaced while it was filled";
            return Err(io::Error::other(said));
        }
        Ok(Some(std::mem::replace(&mut self.here, up)))
    }

    /// The directory in which `path` lies, opened name by name from the target.
    pub(super) fn parent_of(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut at = fs::openat(&self.root, c".", DIRECTORY, Mode::empty())?;
        let Some((parent, _)) = path.split() else { return Ok(at) };
        for name in parent.names() {
            at = fs::openat(&at, &c_name(name)?, DIRECTORY, Mode::empty())?;
        }
        Ok(at)
    }
}
