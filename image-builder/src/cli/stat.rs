//! `stat`: what an image says of one file.

use std::ffi::OsString;
use std::io::{self, Write};

use anyhow::Context;
use clap::Args;

use crate::opened::find::{Follow, find};
use crate::opened::store::Reach;
use crate::stat::{Detail, Stat};
use crate::text::size;

use super::outcome::Outcome;
use super::{paths, source};

/// Say all that a chunked image says of a file, its chunks too
#[derive(Debug, Args)]
pub struct StatFile {
    #[command(flatten)]
    source: source::Source,
    /// The file; a symbolic link itself and not where it leads
    #[arg(value_name = "PATH")]
    path: OsString,
    /// Where a symbolic link leads
    #[arg(short = 'L', long)]
    dereference: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl StatFile {
    /// Runs it.
    ///
    /// # Errors
    /// If the image cannot be read, or there is no such file.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Parts)?;
        let follow = if self.dereference { Follow::Yes } else { Follow::No };
        let id = find(opened.tree(), paths::bytes(&self.path), follow)?;
        let path = paths::clean(&self.path)?;
        let stat = Stat::new(&opened, id, path.as_bytes(), Detail::Chunks);
        let stat = stat.context("there is no such file")?;
        if self.json {
            source::print(&serde_json::to_string_pretty(&stat)?)?;
        } else {
            print(&stat)?;
        }
        Ok(Outcome::Done)
    }
}

fn print(stat: &Stat) -> io::Result<()> {
    let mut out = source::stdout();
    writeln!(out, "Path:   {}", stat.path.escaped())?;
    writeln!(out, "Kind:   {}", stat.kind)?;
    writeln!(out, "Mode:   {}", stat.mode)?;
    writeln!(out, "Owner:  {}:{}", stat.uid, stat.gid)?;
    writeln!(out, "Time:   {}", stat.mtime)?;
    writeln!(out, "Links:  {}", stat.links)?;
    writeln!(out, "Size:   {}", stat.size)?;
    if let Some(target) = &stat.target {
        writeln!(out, "Target: {}", target.escaped())?;
    }
    if let Some((major, minor)) = stat.device {
        writeln!(out, "Device: {major}:{minor}")?;
    }
    for (name, value) in &stat.xattrs {
        writeln!(out, "Xattr:  {name} = {}", value.escaped())?;
    }
    writeln!(out, "Hash:   {}", stat.hash)?;
    for chunk in stat.chunks.iter().flatten() {
        let place = match (chunk.offset, chunk.stored) {
            (Some(offset), Some(stored)) => format!("{stored} bytes at {offset}"),
            _ => "in a batch".to_owned(),
        };
        writeln!(
            out,
            "Chunk:  {} {} ({place} of {})",
            chunk.digest,
            size(chunk.size.into()),
            chunk.blob
        )?;
    }
    out.flush()
}
