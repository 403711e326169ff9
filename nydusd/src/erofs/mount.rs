//! EROFS over the bootstrap and the devices.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;

use lazy::LazyImage;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use sys::Mapping;

use super::devices::Devices;
use crate::fuse::detached::detached;
use crate::fuse::readers::Readers;
use crate::fuse::session::Mounted;
use crate::read_ahead::Before;

/// Mounts `image`, whose bootstrap is the file `bootstrap`, on the folder `at`. Blobs that are all here are
/// devices as they are; what others lack is fetched by reads that may wait in `readers`.
///
/// # Errors
/// If the kernel does not mount EROFS from files (before 6.12), or refuses.
pub fn mount(
    image: &Arc<LazyImage<Mapping>>,
    readers: &Readers,
    bootstrap: &Path,
    at: &Path,
) -> io::Result<Mounted> {
    let blobs = image.bootstrap().blobs().len();
    let whole: Vec<_> = (0..=u8::MAX).take(blobs).map(|blob| image.device(blob)).collect();
    let fuse = if whole.iter().all(Option::is_some) {
        None
    } else {
        let devices = Devices::new(Arc::clone(image), readers.clone());
        Some(detached(devices, "nydusd-devices", |_| Ok(()))?)
    };
    let erofs = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let erofs = erofs.as_fd();
    fsconfig_set_string(erofs, "source", bootstrap)?;
    for (number, device) in whole.iter().enumerate() {
        // A path, because EROFS takes no descriptors; through ours, because it is nowhere else, or
        // so that it is this very file.
        let path = match (device, &fuse) {
            (Some(device), _) => format!("/proc/self/fd/{}", device.file().as_raw_fd()),
            (None, Some((folder, _))) => format!("/proc/self/fd/{}/{number}", folder.as_raw_fd()),
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        fsconfig_set_string(erofs, "device", path)?;
    }
    fsconfig_set_flag(erofs, "ro")?;
    // Past the page cache of the files: EROFS has one of its own, and reads ahead itself, while the
    // files' readahead makes of a small random read a large one. Before 6.14 there is no such flag.
    let _ = fsconfig_set_flag(erofs, "directio");
    let before = Before::now();
    fsconfig_create(erofs)?;
    before.set_new();
    let mount = fsmount(erofs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    let number = rustix::fs::fstat(&mount)?.st_dev;
    move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    // From here on EROFS alone has the folder's files open: their mount ends with it.
    let (session, devices) = (fuse.map(|(_, session)| session), whole.into_iter().flatten());
    Ok(Mounted::new(session, devices.collect(), (at, number)))
}
