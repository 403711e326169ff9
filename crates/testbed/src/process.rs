//! A child process with a log, killed when it goes out of scope.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to `NAME.log` in `dir`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{name} does not start: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it for a while, as SIGSTOP does: it answers nothing and says nothing.
    ///
    /// # Errors
    /// If it is gone.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id")?;
        Ok(kill_process(id, signal)?)
    }

    /// Asks it to end, and waits a little until it has: it takes its own children along.
    pub fn end(&mut self) {
        let asked = self.signal(Signal::TERM).is_ok();
        for _ in 0..40 {
            if !asked || !self.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(16_000);
            let tail = log.get(start..).unwrap_or(&log);
            eprintln!("--- {} ---\n{tail}", self.name);
        }
    }
}

/// A binary of this workspace, beside the running test.
///
/// # Errors
/// If it was not built: `cargo build --workspace --bins` comes first.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let found = test.ancestors().skip(1).map(|dir| dir.join(name)).find(|path| path.is_file());
    found
        .with_context(|| format!("{name} is not built: run `cargo build --workspace --bins` first"))
}
