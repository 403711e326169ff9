//! The commands. Each has a file: its arguments, and what is called with them.

mod bar;
pub mod cat;
pub mod check;
mod common;
mod convert;
pub mod diff;
pub mod export;
pub mod inspect;
pub mod ls;
mod merge;
pub mod outcome;
mod pack;
pub mod paths;
mod progress;
pub mod prove;
pub mod source;
pub mod stat;
pub mod unpack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use common::ReadingArgs;

/// Chunked images: made out of OCI images, checked, looked into, and turned back.
///
/// A chunked image (Nydus RAFS v6) can be mounted before it has arrived: its bootstrap has the file
/// tree, and its data blobs are fetched chunk by chunk as files are read.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Where an image is:\n  \
    registry.example/repository:tag     a registry\n  \
    oci:FOLDER[:TAG]                    an OCI layout folder\n  \
    oci-archive:FILE[:TAG]              an OCI layout as a tar\n  \
    docker-archive:FILE[:NAME]          what `docker save` writes\n\
    A path that exists is taken for what it is.\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the check found something wrong."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make a chunked image out of an ordinary one
    Convert(Box<convert::ConvertArgs>),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Ls(ls::Ls),
    Cat(cat::Cat),
    Stat(stat::StatFile),
    Diff(diff::Diff),
    Unpack(unpack::Unpack),
    Export(export::Export),
    Prove(prove::Prove),
    VerifyProof(prove::VerifyProof),
    /// Make a chunked image out of a folder
    Pack(pack::PackArgs),
    /// Make one bootstrap out of those of single layers
    Merge(merge::MergeArgs),
}

impl Args {
    /// Does it.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done: anyhow::Result<ExitCode> = match self.command {
            Command::Convert(args) => convert::run(&args),
            Command::Check(command) => command.run().map(ExitCode::from),
            Command::Inspect(command) => command.run().map(ExitCode::from),
            Command::Ls(command) => command.run().map(ExitCode::from),
            Command::Cat(command) => command.run().map(ExitCode::from),
            Command::Stat(command) => command.run().map(ExitCode::from),
            Command::Diff(command) => command.run().map(ExitCode::from),
            Command::Unpack(command) => command.run().map(ExitCode::from),
            Command::Export(command) => command.run().map(ExitCode::from),
            Command::Prove(command) => command.run().map(ExitCode::from),
            Command::VerifyProof(command) => command.run().map(ExitCode::from),
            Command::Pack(args) => pack::run(&args),
            Command::Merge(args) => merge::run(&args),
        };
        match done {
            Ok(code) => code,
            Err(error) => outcome::failed(&error),
        }
    }
}
