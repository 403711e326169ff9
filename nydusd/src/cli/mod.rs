//! The commands. Each has a file: its arguments, and what is called with them.

mod claim;
mod ls;
mod mount;
mod outcome;
mod registries;
mod umount;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mounts chunked images (Nydus RAFS v6) before they have arrived: files are fetched, verified and
/// kept as they are read.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Where an image is:\n  \
    registry.example/repository:tag     a registry\n  \
    oci:FOLDER[:TAG]                    an OCI layout folder\n  \
    oci-archive:FILE[:TAG]              an OCI layout as a tar\n  \
    bootstrap:FILE                      a bootstrap, as nydus-image writes it\n\
    A path that exists is taken for what it is.\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    Mount(Box<mount::Mount>),
    Umount(umount::Umount),
    Ls(ls::Ls),
}

impl Args {
    /// Does it.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Mount(command) => command.run(),
            Command::Umount(command) => command.run(),
            Command::Ls(command) => command.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => outcome::failed(&error),
        }
    }
}
