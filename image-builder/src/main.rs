//! `image-builder`: arguments and exit code. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use image_builder::cli::Args;

fn main() -> ExitCode {
    Args::parse().run()
}
