//! How an image's tree is mounted.

use std::io;
use std::path::{Path, PathBuf};

use fuser::BackgroundSession;
use lazy::Device;
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, fsconfig_set_flag, fsconfig_set_string, move_mount};

use super::detached::detached;
use super::tree::ImageTree;
use crate::mounts::{self, Listing};
use crate::read_ahead;

/// A mounted image. What we serve of it ends when it goes.
#[derive(Debug)]
pub struct Mounted {
    /// None if the kernel needs nobody.
    session: Option<BackgroundSession>,
    /// What the kernel reads itself.
    _devices: Vec<Device>,
    at: PathBuf,
    /// The file system's number: another may stand at its place one day.
    number: u64,
}

/// Mounts `tree` at the folder `at`; `name` is what the list of mounts says it is.
///
/// # Errors
/// If the folder is not there, or the kernel refuses.
pub fn mount(tree: ImageTree, at: &Path, name: &str) -> io::Result<Mounted> {
    let (folder, session) = detached(tree, name, |fuse| {
        fsconfig_set_string(fuse, "subtype", mounts::SUBTYPE)?;
        // Who mounts is root, and others read.
        fsconfig_set_flag(fuse, "allow_other")?;
        // The kernel checks permissions by what `stat` says, as it does on a disk. Set-user-ID
        // programs and devices are the image's, and an overlay over it decides on them.
        fsconfig_set_flag(fuse, "default_permissions")
    })?;
    let number = rustix::fs::fstat(&folder)?.st_dev;
    move_mount(&folder, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    read_ahead::set(at);
    Ok(Mounted::new(Some(session), Vec::new(), (at, number)))
}

impl Mounted {
    /// What `session` serves, and the kernel reads of `devices`; it is mounted at a place, with a number.
    pub(crate) fn new(
        session: Option<BackgroundSession>,
        devices: Vec<Device>,
        (at, number): (&Path, u64),
    ) -> Self {
        Self { session, _devices: devices, at: at.to_owned(), number }
    }

    /// Whether the kernel still asks: nobody has unmounted it, or it is still in use. `listing` is of
    /// this moment.
    #[must_use]
    pub fn is_served(&self, listing: &Listing) -> bool {
        match &self.session {
            Some(session) => !session.guard.is_finished(),
            None => self.is_listed(listing),
        }
    }

    /// Whether nobody has unmounted it.
    #[must_use]
    pub fn is_listed(&self, listing: &Listing) -> bool {
        listing.has(&self.at, self.number)
    }
}
