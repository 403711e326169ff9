//! The commands. Each has a file: its arguments, and what is called with them.

mod chunks;
mod claim;
mod file;
mod fuse;
mod given;
mod logging;
mod ls;
mod mount;
mod outcome;
mod prefetch;
mod serve;
mod stats;
mod umount;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Mounts chunked images (Nydus RAFS v6) before they have arrived: files are fetched, verified and
/// kept as they are read.
#[derive(Debug, Parser)]
#[command(
    version = crate::version::LINES.as_str(),
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
    Serve(serve::Serve),
    Umount(umount::Umount),
    Ls(ls::Ls),
    Stats(stats::Stats),
    Fuse(Box<fuse::Fuse>),
}

/// Does what this process was started for.
#[must_use]
pub fn run() -> ExitCode {
    match done() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => outcome::failed(&error),
    }
}

fn done() -> anyhow::Result<()> {
    let matches = read()?;
    if let Some(answer) = file::answer(&matches)? {
        print!("{answer}");
        return Ok(());
    }
    match Args::from_arg_matches(&matches)?.command {
        Command::Mount(command) => command.run(given::Given::by(&matches)),
        Command::Serve(command) => command.run(),
        Command::Umount(command) => command.run(),
        Command::Ls(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Fuse(command) => command.run(),
    }
}

/// Reads the arguments of this process. Without a command, options are those of `fuse`: so it was in
/// the days of the first snapshotters.
fn read() -> anyhow::Result<ArgMatches> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if is_fuse(arguments.get(1)) {
        arguments.insert(1, "fuse".into());
    }
    // Once to see which file is named, and once over what it says. Help, and what is wrong with the
    // command line, come the second time; a file that is wrong keeps neither back.
    let config = match Args::command().try_get_matches_from(&arguments) {
        Ok(given) => file::read(&given)?,
        Err(_) => telemetry::config::load_file("nydusd", None).unwrap_or_default(),
    };
    Ok(file::beneath(Args::command(), &config)?.get_matches_from(arguments))
}

/// Whether the first argument is an option that only `fuse` has.
fn is_fuse(first: Option<&OsString>) -> bool {
    let first = first.map(OsString::as_os_str).unwrap_or_default();
    let ours = ["-h", "--help", "-V", "--version"].map(OsStr::new);
    first.as_encoded_bytes().starts_with(b"-") && !ours.contains(&first)
}
