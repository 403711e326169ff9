//! `nydusd ls`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::file::FileArgs;
use crate::api;
use crate::left::left;

/// List what is mounted, and how much of it was fetched
///
/// Where no process serves the cache's mounts, what the next one brings back.
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// The chunk cache whose process is asked
    #[arg(long, value_name = "DIR", env = "MEGANEURA_CACHE_DIR", default_value = super::mount::CACHE)]
    cache_dir: PathBuf,
    #[command(flatten)]
    _file: FileArgs,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let asked = api::ask_all(&api::socket(&self.cache_dir))?;
        let why_not = if asked.is_some() { "not mounted" } else { "nobody serves it" };
        for mount in asked.unwrap_or_else(|| left(&self.cache_dir)) {
            if self.json {
                writeln!(out, "{}", serde_json::to_string(&mount)?)?;
            } else {
                let (at, image) = (mount.at.display(), &mount.image);
                match mount.failed {
                    Some(why) => writeln!(out, "{at}\t{image}\t{why_not}: {why}")?,
                    None => writeln!(out, "{at}\t{image}\t{} bytes fetched", mount.fetched)?,
                }
            }
        }
        Ok(())
    }
}
