//! How a command ends.

use std::io;
use std::process::ExitCode;

use image::causes;

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
        eprintln!("image-builder: {}", causes(error.as_ref()));
    }
    ExitCode::FAILURE
}
