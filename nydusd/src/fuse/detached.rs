//! A FUSE mount that is attached nowhere yet, and who serves it.
//!
//! fuser mounts too, but at its session's end it unmounts what it has mounted, and goes by the path:
//! by then another mount may stand there. So we mount, and nothing is ever unmounted by a session.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use fuser::{BackgroundSession, Config, Filesystem, Session, SessionACL};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// So many threads hear the kernel's questions of one mount. None of them waits for a chunk.
const THREADS: usize = 4;

/// How often it is seen whether a session that has not answered yet has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Has `filesystem` served; `name` is what the list of mounts will say it is of, `more` says what else the
/// kernel is told. The folder that comes is to be attached somewhere; the session ends when nobody
/// has it.
///
/// # Errors
/// If the kernel refuses, or there are no descriptors or threads left.
pub(crate) fn detached<F: Filesystem + 'static>(
    filesystem: F,
    name: &str,
    more: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<()>,
) -> io::Result<(OwnedFd, BackgroundSession)> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    let fuse = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fuse = fuse.as_fd();
    fsconfig_set_string(fuse, "source", name)?;
    // Kernels before 6.15 take a number only.
    fsconfig_set_fd(fuse, "fd", &device)
        .or_else(|_| fsconfig_set_string(fuse, "fd", device.as_raw_fd().to_string()))?;
    for (key, value) in [("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(fuse, key, value)?;
    }
    fsconfig_set_flag(fuse, "ro")?;
    more(fuse)?;
    fsconfig_create(fuse)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let folder = fsmount(fuse, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let session = Session::from_fd(filesystem, device.into(), SessionACL::All, config)?.spawn()?;
    let session = once_it_answers(&folder, session)?;
    Ok((folder, session))
}

/// Waits until the session answers: it opens descriptors and starts threads by itself, and what it
/// lacks it tells nobody who does not look.
fn once_it_answers(folder: &OwnedFd, session: BackgroundSession) -> io::Result<BackgroundSession> {
    let (tell, told) = channel();
    let asked = folder.try_clone()?;
    // The question cannot be taken back: it ends with the answer, or with the session.
    thread::Builder::new().name("asks once".to_owned()).spawn(move || {
        let _ = rustix::fs::fstatfs(asked);
        let _ = tell.send(());
    })?;
    while told.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if session.guard.is_finished() {
            break;
        }
    }
    if !session.guard.is_finished() {
        return Ok(session);
    }
    session.join()?;
    Err(io::Error::new(io::ErrorKind::NotConnected, "the kernel ended the mount at once"))
}
