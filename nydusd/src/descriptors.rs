//! File descriptors: how many this process may have, and whether there are enough for one more mount.
//!
//! A FUSE mount has one for each thread that hears the kernel and a few while it is made, a blob has its
//! files in the cache. Whoever runs out of them in the midst of a mount has a mount that nobody serves,
//! and whoever has used the last can no longer be asked.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a mount needs while it is made, and what others are left: connections, records, files that
/// are open for a moment.
const A_MOUNT: usize = 32;

/// A blob: its chunks, and its map.
const A_BLOB: usize = 2;

/// Lets this process have as many as it may: what a login or systemd give at first (1024) is for programs
/// that know no more.
pub fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of file descriptors is not raised");
    }
}

/// Makes sure that there are enough for one more mount, of so many blobs.
///
/// # Errors
/// If there are not; says what to do.
pub fn are_left(blobs: usize) -> io::Result<()> {
    let needed = blobs.saturating_mul(A_BLOB).saturating_add(A_MOUNT);
    match take(needed) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::MFILE) => {
            let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
            Err(io::Error::other(format!(
                "too few file descriptors are left: this process may have {limit} of them \
                (`LimitNOFILE=` of its systemd unit, or `ulimit -Hn` of who starts it, says so)"
            )))
        }
        taken => taken,
    }
}

/// Takes so many, and gives them back.
fn take(many: usize) -> io::Result<()> {
    let first = File::open("/dev/null")?;
    let taken: Result<Vec<_>, _> =
        (1..many).map(|_| rustix::io::fcntl_dupfd_cloexec(&first, 0)).collect();
    Ok(taken.map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_not_is_told() {
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        are_left(3).unwrap();
        if let Some(Ok(limit)) = limit.maximum.map(usize::try_from) {
            let said = are_left(limit).unwrap_err().to_string();
            assert!(said.contains(&format!("may have {limit} of them")), "{said}");
        }
    }
}
