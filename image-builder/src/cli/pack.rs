//! `image-builder pack`: a folder becomes a chunked image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::bar;
use super::convert::{FormatArgs, print};
use crate::convert::{Options, Progress};
use crate::oci::Platform;
use crate::pack::pack;
use crate::place::Place;
use crate::store::{Access, Client};

/// Its arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Owners, modes, times, hard links and extended attributes are kept. A file \
    named .wh.NAME is a whiteout, as in layers; sockets are left out.\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub(super) struct PackArgs {
    /// The folder; what is in it is at the image's root
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where the chunked image is to be
    target: Place,
    /// What the image is said to run on
    #[arg(long, value_name = "OS/ARCH", default_value = HERE)]
    platform: Platform,
    /// Write Docker's media types and not OCI's
    #[arg(long, visible_alias = "docker-v2-format")]
    docker: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    access: Access,
    /// Where the data blob lies until it is in the target [default: the target's folder if it is
    /// a layout, otherwise the system's temporary folder]
    #[arg(long, value_name = "FOLDER", env = "MEGANEURA_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// This machine, as images call it.
const HERE: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

pub(super) fn run(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(args.access.clone())?;
    let to = client.create(&args.target).with_context(|| format!("cannot open {}", args.target))?;
    let options = Options {
        format: args.format.format(),
        work_dir: args.work_dir.clone().or_else(|| args.target.beside().map(Into::into)),
        docker: args.docker,
        ..Options::default()
    };
    let progress = Progress::default();
    let report = bar::beside(&progress, args.json, || {
        pack(&args.folder, &*to, &args.platform, &options, &progress)
    })?;
    print(&report, &args.target, args.json)
}
