//! One file's bytes and attributes.

use std::io;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use tree::Meta;

use super::directory::Owners;
use super::place::c_name;

/// What is described: something that is open, or a name in a directory.
pub(super) enum Described<'a> {
    Open(BorrowedFd<'a>),
    /// Never followed, if it is a link.
    Named(BorrowedFd<'a>, &'a [u8]),
}

/// What is to be said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) meta: &'a Meta,
    pub(super) owners: Owners,
    /// Links have no mode of their own.
    pub(super) mode: bool,
}

/// What failed, and why.
pub(super) type Failed = (&'static str, io::Error);

/// Gives a file its owner, mode, attributes and time, in the order in which none undoes another:
/// a new owner clears setuid and capabilities, and all of them change the time of the change only.
pub(super) fn describe(what: &Described<'_>, said: Said<'_>) -> Result<(), Failed> {
    let meta = said.meta;
    if said.owners == Owners::Kept {
        what.chown(meta.uid, meta.gid).map_err(|e| ("its owner cannot be set", e))?;
    }
    if said.mode {
        let mode = Mode::from_raw_mode(u32::from(meta.mode.bits()));
        what.chmod(mode).map_err(|e| ("its mode cannot be set", e))?;
    }
    for (name, value) in &meta.xattrs {
        // What only root sets says nothing for anybody else.
        let roots = !name.starts_with(b"user.") && !name.starts_with(b"system.posix_acl_");
        if said.owners == Owners::Mine && roots {
            continue;
        }
        what.set_xattr(name, value).map_err(|e| {
            let named = io::Error::new(e.kind(), format!("{}: {e}", name.escape_ascii()));
            ("an extended attribute cannot be set", named)
        })?;
    }
    what.touch(meta).map_err(|e| ("its time cannot be set", e))
}

impl Described<'_> {
    fn chown(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let done = match self {
            Self::Open(file) => fs::fchown(file, uid, gid),
            Self::Named(parent, name) => {
                fs::chownat(parent, &c_name(name)?, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        Ok(done?)
    }

    fn chmod(&self, mode: Mode) -> io::Result<()> {
        let done = match self {
            Self::Open(file) => fs::fchmod(file, mode),
            // Not for links, which have none; a node that was just made here is none.
            Self::Named(parent, name) => {
                fs::chmodat(parent, &c_name(name)?, mode, AtFlags::empty())
            }
        };
        Ok(done?)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        let attribute = c_name(name)?;
        let done = match self {
            Self::Open(file) => fs::fsetxattr(file, &attribute, value, XattrFlags::empty()),
            // There is no call for a name in an open directory; the kernel's own link to the
            // directory says the same.
            Self::Named(parent, name) => {
                let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
                path.extend_from_slice(name);
                fs::lsetxattr(&c_name(&path)?, &attribute, value, XattrFlags::empty())
            }
        };
        Ok(done?)
    }

    fn touch(&self, meta: &Meta) -> io::Result<()> {
        let tv_nsec = i64::from(meta.mtime.nanoseconds());
        let time = Timespec { tv_sec: meta.mtime.seconds(), tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        let done = match self {
            Self::Open(file) => fs::futimens(file, &times),
            Self::Named(parent, name) => {
                fs::utimensat(parent, &c_name(name)?, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        Ok(done?)
    }
}

impl<'a> Described<'a> {
    pub(super) fn open(file: &'a impl AsFd) -> Self {
        Self::Open(file.as_fd())
    }
}
