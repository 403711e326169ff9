//! Other people's programs, run to their end: ctr, podman, skopeo, tar.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

/// The longest that a program may take. The machine may be busy with other things.
const WITHIN: Duration = Duration::from_secs(60);

/// A program that Debian's `package` brings.
#[must_use]
pub fn tool(program: &'static str, package: &'static str) -> Tool {
    let mut command = Command::new(program);
    // A test that panics meanwhile leaves nothing running.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Tool { program, package, command }
}

/// A program, and what it is to do.
#[derive(Debug)]
pub struct Tool {
    program: &'static str,
    package: &'static str,
    command: Command,
}

impl Tool {
    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it; what it printed.
    ///
    /// # Errors
    /// If it is not installed, fails, or takes longer than a minute. What it printed is told.
    pub async fn run(self) -> anyhow::Result<Vec<u8>> {
        let asked = format!("{:?}", self.command.as_std());
        let output = self.output().await?;
        ensure!(
            output.status.success(),
            "{asked}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    /// Runs it, whatever comes of it.
    ///
    /// # Errors
    /// If it is not installed, or takes longer than a minute.
    pub async fn output(mut self) -> anyhow::Result<Output> {
        let running = self.command.spawn().with_context(|| missing(self.program, self.package))?;
        match tokio::time::timeout(WITHIN, running.wait_with_output()).await {
            Ok(output) => Ok(output?),
            Err(_) => bail!("{:?} is not done after {WITHIN:?}", self.command.as_std()),
        }
    }
}

/// What is said of a program that cannot be started.
#[must_use]
pub fn missing(program: &str, package: &str) -> String {
    format!(
        "{program} does not start; Debian's package {package} has it (scripts/deps installs it)"
    )
}
