//! How a command says that it failed.

use std::process::ExitCode;

/// Says why a command failed: exit code 1.
pub(super) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("nydusd: {}", chain(error));
    ExitCode::FAILURE
}

/// An error with its causes, each once: some say those of their own.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}
