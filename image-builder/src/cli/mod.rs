//! The commands. Each has a file: its arguments, and what is called with them.

mod bar;
mod common;
mod convert;
mod merge;
mod pack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use common::StoreArgs;

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
    Convert(convert::ConvertArgs),
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
            Command::Pack(args) => pack::run(&args),
            Command::Merge(args) => merge::run(&args),
        };
        match done {
            Ok(code) => code,
            Err(error) => {
                eprintln!("image-builder: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}
