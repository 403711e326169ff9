//! Locks on files, with a little patience.
//!
//! A child that another thread has just forked holds this process's locked files too, until it
//! executes its own program. A lock that was let go is therefore sometimes free only a moment
//! later.

use std::fs::File;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

const PATIENCE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(10);

/// Takes the lock for as long as the file stays open; false if somebody else really has it.
pub(crate) fn exclusive(file: &File) -> std::io::Result<bool> {
    let mut waited = Duration::ZERO;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if waited < PATIENCE => sleep(STEP),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        waited += STEP;
    }
}
