//! `nydusd`: arguments and exit code. What it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nydusd::cli::run()
}
