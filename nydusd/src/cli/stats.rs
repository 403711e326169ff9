//! `nydusd stats`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::file::FileArgs;
use crate::{api, mounts};

/// Say what became of a mount's reads and chunks
#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The chunk cache whose process is asked
    #[arg(long, value_name = "DIR", env = "MEGANEURA_CACHE_DIR", default_value = super::mount::CACHE)]
    cache_dir: PathBuf,
    #[command(flatten)]
    _file: FileArgs,
    /// As JSON; times in microseconds
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let at = mounts::resolve(&self.folder);
        let at = at.with_context(|| format!("{} is not there", self.folder.display()))?;
        let all = api::ask_stats(&api::socket(&self.cache_dir))?;
        let Some(stats) = all.into_iter().find(|stats| stats.at == at) else {
            let (at, cache) = (at.display(), self.cache_dir.display());
            bail!(
                "nothing is mounted on {at} by the process that has {cache} (`nydusd ls` says what is)"
            );
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&stats)?)?);
        }
        let (reads, chunks) = (&stats.reads, &stats.chunks);
        let seconds = |microseconds: u64| std::time::Duration::from_micros(microseconds);
        let each = reads.waited_microseconds.checked_div(reads.waited).unwrap_or(0);
        writeln!(out, "image      {}", stats.image)?;
        if let Some(manifest) = stats.manifest {
            writeln!(out, "manifest   {manifest}")?;
        }
        writeln!(out, "driver     {}", stats.driver)?;
        writeln!(
            out,
            "reads      {} at once, {} waited for chunks, {} wait now, {} failed",
            reads.here, reads.waited, reads.waiting, reads.failed
        )?;
        let longest = seconds(reads.longest_microseconds);
        writeln!(out, "waits      {:.1?} each, {longest:.1?} at most", seconds(each))?;
        writeln!(out, "given      {} bytes", reads.bytes)?;
        writeln!(
            out,
            "chunks     {} fetched, {} found on disk, {} found damaged, {} not kept",
            chunks.fetched, chunks.recovered, chunks.damaged, chunks.unkept
        )?;
        writeln!(out, "fetched    {} bytes of {}", chunks.fetched_bytes, stats.size)?;
        writeln!(out, "on disk    {} bytes", chunks.held)?;
        if let Some(prefetch) = stats.prefetch {
            writeln!(
                out,
                "prefetch   {} chunks of {} bytes came, {} of {} are to come{}",
                prefetch.chunks,
                prefetch.bytes,
                prefetch.left,
                prefetch.left_bytes,
                if prefetch.going { "" } else { "; it has ended" }
            )?;
        }
        Ok(())
    }
}
