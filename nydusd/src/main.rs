//! `nydusd`: arguments and exit code. What it does is in the library.

use std::process::ExitCode;

use nydusd::cli::Args;

fn main() -> ExitCode {
    Args::read().run()
}
