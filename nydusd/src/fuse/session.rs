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
    ends: Ends,
    /// What the kernel reads itself.
    _devices: Vec<Device>,
}

/// How it is known that a mount has ended.
#[derive(Debug)]
pub(crate) enum Ends {
    /// Its session ends.
    Session(BackgroundSession),
    /// The kernel needs nobody: it is no longer listed at this place, with this number.
    Listed(PathBuf, u64),
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
    move_mount(&folder, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    read_ahead::set(at);
    Ok(Mounted::new(Ends::Session(session), Vec::new()))
}

impl Mounted {
    /// Of which the kernel reads `devices` by itself.
    pub(crate) const fn new(ends: Ends, devices: Vec<Device>) -> Self {
        Self { ends, _devices: devices }
    }

    /// Whether the kernel still asks: nobody has unmounted it. `listing` is of this moment.
    #[must_use]
    pub fn is_served(&self, listing: &Listing) -> bool {
        match &self.ends {
            Ends::Session(session) => !session.guard.is_finished(),
            Ends::Listed(at, device) => listing.has(at, *device),
        }
    }
}
