//! How a command ends.

use std::io;
use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It did what was asked: exit code 0.
    Done,
    /// It looked, and found something wrong: exit code 3.
    Wrong,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Wrong => Self::from(3),
        }
    }
}

/// Says why a command failed: exit code 1. A closed pipe is no news to whoever closed it.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let pipe = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    };
    if !error.chain().any(pipe) {
        eprintln!("image-builder: {}", chain(error));
    }
    ExitCode::FAILURE
}

/// An error with its causes, each once: some say those of their own.
fn chain(error: &anyhow::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let cause = io::Error::other("no room");
        let wrapped = anyhow::Error::new(layer::WriteError::Io(cause)).context("it is not done");
        assert_eq!(chain(&wrapped), "it is not done: the tar cannot be written: no room");
    }
}
