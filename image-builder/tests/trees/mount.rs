//! The kernel's EROFS.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Something mounted; unmounted when it goes.
pub(crate) struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Mounts a disk image that is a file; `None`, with a word on standard error, where the kernel
/// cannot.
pub(crate) fn erofs(disk: &Path, at: &Path) -> Option<Mounted> {
    match mount(disk, at, "erofs", MountFlags::RDONLY, None) {
        Ok(()) => Some(Mounted(at.to_owned())),
        Err(error @ (Errno::PERM | Errno::NOTBLK | Errno::NODEV)) => {
            eprintln!("SKIPPED: the kernel does not mount a file as EROFS here: {error}");
            None
        }
        Err(error) => panic!("the kernel refuses the disk image: {error}"),
    }
}
