//! Arguments that several commands have.

use clap::Args;

/// How layers are read.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReadingArgs {
    /// Take absolute paths in layers from the root; they are refused otherwise
    #[arg(long)]
    absolute_paths: bool,
}

impl ReadingArgs {
    /// The options that it stands for.
    #[must_use]
    pub fn options(self) -> layer::Options {
        let mut options = layer::Options::default();
        if self.absolute_paths {
            options.absolute_paths = layer::limits::AbsolutePaths::FromRoot;
        }
        options
    }
}
