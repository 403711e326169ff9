//! `nydusd umount`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::mounts;

/// Unmount images
#[derive(Debug, Args)]
pub(super) struct Umount {
    /// Where they are mounted
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Even while they are used: each then goes when its last user does
    #[arg(short, long)]
    lazy: bool,
}

impl Umount {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        for folder in &self.folders {
            let done = mounts::take_away(folder, self.lazy);
            done.with_context(|| format!("{} cannot be unmounted", folder.display()))?;
        }
        Ok(())
    }
}
