//! `nydusd`: arguments and exit code. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use nydusd::cli::Args;

fn main() -> ExitCode {
    Args::parse().run()
}
