//! How a command says that it failed.

use std::process::ExitCode;

use image::causes;

/// Says why a command failed: exit code 1.
pub(super) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("nydusd: {}", causes(error.as_ref()));
    ExitCode::FAILURE
}
