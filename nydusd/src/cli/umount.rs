//! `nydusd umount`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::file::FileArgs;
use crate::records::Records;
use crate::{api, mounts};

/// Unmount images
///
/// What is unmounted, by this command or any other, is not brought back when its process starts again.
#[derive(Debug, Args)]
pub(super) struct Umount {
    /// Where they are mounted
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Even while they are used: each then goes when its last user does
    #[arg(short, long)]
    lazy: bool,
    /// The chunk cache whose process would bring back what is not mounted now
    #[arg(long, value_name = "DIR", env = "MEGANEURA_CACHE_DIR", default_value = super::mount::CACHE)]
    cache_dir: PathBuf,
    #[command(flatten)]
    _file: FileArgs,
}

impl Umount {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        for folder in &self.folders {
            match mounts::take_away(folder, self.lazy) {
                // What could not be brought back is mounted nowhere, and there is an end to it too.
                Err(_) if !is_mounted(folder) && self.forget(folder)? => {}
                done => {
                    done.with_context(|| format!("{} cannot be unmounted", folder.display()))?;
                    // Whoever was bringing it back may have been killed in the midst of that.
                    self.forget(folder)?;
                }
            }
        }
        Ok(())
    }

    /// Whether somebody would have brought it back, who does not any more.
    fn forget(&self, folder: &Path) -> anyhow::Result<bool> {
        let whole = std::path::absolute(folder)?;
        let at = mounts::resolve(folder).unwrap_or(whole);
        if let Some(forgot) = api::forget(&api::socket(&self.cache_dir), &at)? {
            return Ok(forgot);
        }
        // There is no process: the next one reads the record.
        let there = self.cache_dir.is_dir();
        Ok(there && Records::open(&self.cache_dir)?.remove(&at))
    }
}

fn is_mounted(folder: &Path) -> bool {
    mounts::resolve(folder).and_then(|at| mounts::at(&at)).is_ok_and(|mount| mount.is_some())
}
