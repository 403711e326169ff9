//! EROFS over the bootstrap and the devices.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use fuser::{BackgroundSession, Config, Session, SessionACL};
use lazy::LazyImage;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};
use sys::Mapping;

use super::devices::Devices;
use crate::fuse::readers::Readers;
use crate::fuse::session::{Mounted, THREADS};
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
        Some(detached(Devices::new(Arc::clone(image), readers.clone()))?)
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
    move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    // From here on EROFS alone has the folder's files open: their mount ends with it.
    let session = fuse.map(|(_, session)| session);
    Ok(Mounted::over(whole.into_iter().flatten().collect(), session, at))
}

/// A FUSE mount that is attached nowhere: its folder, and who serves it.
fn detached(devices: Devices) -> io::Result<(OwnedFd, BackgroundSession)> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    let fuse = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fuse = fuse.as_fd();
    fsconfig_set_string(fuse, "source", "nydusd-devices")?;
    fsconfig_set_fd(fuse, "fd", &device)
        .or_else(|_| fsconfig_set_string(fuse, "fd", device.as_raw_fd().to_string()))?;
    for (key, value) in [("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(fuse, key, value)?;
    }
    fsconfig_set_flag(fuse, "ro")?;
    fsconfig_create(fuse)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let folder = fsmount(fuse, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let session = Session::from_fd(devices, device.into(), SessionACL::All, config)?.spawn()?;
    Ok((folder, session))
}
