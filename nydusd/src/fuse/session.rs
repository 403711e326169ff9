//! How an image's tree is mounted.

use std::io;
use std::path::{Path, PathBuf};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use lazy::Device;

use super::tree::ImageTree;
use crate::{mounts, read_ahead};

/// So many threads hear the kernel's questions of one mount. None of them waits for a chunk.
pub(crate) const THREADS: usize = 4;

/// A mounted image. What we serve of it ends when it goes.
#[derive(Debug)]
pub struct Mounted {
    /// None if the kernel needs nobody.
    session: Option<BackgroundSession>,
    /// What the kernel reads itself.
    _devices: Vec<Device>,
    at: PathBuf,
}

/// Mounts `tree` at the folder `at`; `name` is what the list of mounts says it is.
///
/// # Errors
/// If the folder is not there, or the kernel refuses.
pub fn mount(tree: ImageTree, at: &Path, name: &str) -> io::Result<Mounted> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::FSName(name.to_owned()),
        // To the kernel itself: `Subtype` is a word to libfuse's mount helper.
        MountOption::CUSTOM(format!("subtype={}", mounts::SUBTYPE)),
        // The kernel checks permissions by what `stat` says, as it does on a disk; set-user-ID
        // programs and devices are the image's, and an overlay over it decides on them.
        MountOption::DefaultPermissions,
        MountOption::Suid,
        MountOption::Dev,
    ];
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let session = Session::new(tree, at, &config)?.spawn()?;
    read_ahead::set(at);
    Ok(Mounted::over(Vec::new(), Some(session), at))
}

impl Mounted {
    /// What `session` serves, and the kernel reads of `devices`, and is mounted at `at`.
    pub(crate) fn over(
        devices: Vec<Device>,
        session: Option<BackgroundSession>,
        at: &Path,
    ) -> Self {
        Self { session, _devices: devices, at: at.to_owned() }
    }

    /// Whether the kernel still asks: nobody has unmounted it.
    #[must_use]
    pub fn is_served(&self) -> bool {
        match &self.session {
            Some(session) => !session.guard.is_finished(),
            None => mounts::at(&self.at).is_ok_and(|there| there.is_some_and(|m| m.is_ours())),
        }
    }
}
