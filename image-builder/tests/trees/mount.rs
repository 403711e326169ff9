//! The kernel's EROFS.

use std::ffi::CString;
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

/// Mounts a disk image, or a bootstrap and the devices of its data, all of them files; `None`, with
/// a word on standard error, where the kernel cannot.
pub(crate) fn erofs(disk: &Path, devices: &[PathBuf], at: &Path) -> Option<Mounted> {
    let devices: Vec<_> = devices.iter().map(|it| format!("device={}", it.display())).collect();
    let options = CString::new(devices.join(",")).unwrap();
    match mount(disk, at, "erofs", MountFlags::RDONLY, options.as_c_str()) {
        Ok(()) => Some(Mounted(at.to_owned())),
        Err(error @ (Errno::PERM | Errno::NOTBLK | Errno::NODEV)) => {
            eprintln!("SKIPPED: the kernel does not mount a file as EROFS here: {error}");
            None
        }
        Err(error) => panic!("the kernel refuses the disk image: {error}"),
    }
}
