//! A mount that stays when its command returns.
//!
//! The command starts itself once more with `--foreground`, in a session of its own, and waits until
//! that process says that it has mounted, or ends. (A process with threads cannot be forked safely,
//! so it is started anew.)

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::log_file::LogFile;

/// Set for the process that stays: it says on its standard output when it has mounted.
const STAYS: &str = "NYDUSD_STAYS";

/// How the process that stays says that it has mounted.
const READY: &[u8] = b"mounted\n";

/// Starts this program with the same arguments as the process that stays, and waits until it has
/// mounted. `Err` with its status if it ended before.
///
/// # Errors
/// If it cannot be started.
pub fn start() -> io::Result<Result<(), ExitStatus>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(STAYS, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        // Ends when the other side closes it: because it is ready, or no more.
        out.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(Ok(()));
    }
    child.wait().map(Err)
}

/// Whether this is the process that stays.
#[must_use]
pub fn stays() -> bool {
    std::env::var_os(STAYS).is_some()
}

/// A log of so many bytes is put aside: two of them are no burden to a cache's disk.
const LONGEST: u64 = 16 << 20;

/// Leaves the terminal of whoever started the command: its end is not ours.
pub fn detach() {
    // Refused only to a leader of a process group, which who was just started is not.
    let _ = rustix::process::setsid();
}

/// Says that it is mounted, and lets go of who waits for that; what is said from then on goes into
/// the file at `log`.
///
/// # Errors
/// If nobody waits any more, or the file cannot be written.
pub fn ready(log: &Path) -> io::Result<LogFile> {
    let nobody = OpenOptions::new().write(true).open("/dev/null")?;
    let log = LogFile::redirect(log, Some(LONGEST))?;
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    rustix::stdio::dup2_stdout(&nobody)?;
    Ok(log)
}
