//! `ls`: names in an image.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;
use tree::{InodeId, Kind};

use crate::ls::{Depth, list};
use crate::opened::Opened;
use crate::opened::find::{Follow, find};
use crate::opened::store::Reach;
use crate::stat::{self, Detail, Stat};
use crate::text::{self, Text};

use super::outcome::Outcome;
use super::{paths, source};

/// List files of a chunked image without mounting it
#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    source: source::Source,
    /// What to list: a directory's names, or a file
    #[arg(value_name = "PATH", default_value = "/")]
    path: std::ffi::OsString,
    /// Modes, links, owners, sizes and times too
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    deep: Deep,
    /// Print one JSON object for each file, a line each
    #[arg(long)]
    json: bool,
}

/// How far down.
#[derive(Debug, Args)]
struct Deep {
    /// Everything under the directory, by path
    #[arg(short = 'R', long)]
    recursive: bool,
    /// A directory itself and not what is in it
    #[arg(short, long, conflicts_with = "recursive")]
    directory: bool,
}

impl Ls {
    /// Runs it.
    ///
    /// # Errors
    /// If the image cannot be read, or there is no such file.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Parts)?;
        let follow = if self.deep.directory { Follow::No } else { Follow::Yes };
        let id = find(opened.tree(), paths::bytes(&self.path), follow)?;
        let path = paths::clean(&self.path)?;
        let depth = match (self.deep.recursive, self.deep.directory) {
            (true, _) => Depth::All,
            (_, true) => Depth::Itself,
            _ => Depth::Entries,
        };
        let mut out = source::stdout();
        let mut written = Ok(());
        list(&opened, id, &path, depth, |id, path| {
            written = self.line(&opened, &mut out, id, path);
            written.is_ok()
        });
        written.and_then(|()| out.flush()).context("the names cannot be written")?;
        Ok(Outcome::Done)
    }

    fn line(
        &self,
        opened: &Opened,
        out: &mut impl Write,
        id: InodeId,
        path: &[u8],
    ) -> io::Result<()> {
        if self.json {
            let stat = Stat::new(opened, id, path, Detail::Short);
            return writeln!(out, "{}", serde_json::to_string(&stat)?);
        }
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let shown = if self.deep.recursive || last.is_empty() {
            Text([b"/", path].concat()).escaped()
        } else {
            Text(last.to_vec()).escaped()
        };
        let Some(inode) = opened.tree().get(id).filter(|_| self.long) else {
            return writeln!(out, "{shown}");
        };
        let meta = &inode.meta;
        let size = match inode.kind() {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                format!("{}, {}", device.major, device.minor)
            }
            _ => stat::size(inode).to_string(),
        };
        let target = match inode.kind() {
            Kind::Symlink(target) => format!(" -> {}", Text(target.to_vec()).escaped()),
            _ => String::new(),
        };
        let xattrs = if meta.xattrs.is_empty() { ' ' } else { '+' };
        writeln!(
            out,
            "{}{}{xattrs} {:>3} {:>5} {:>5} {size:>10} {:<30} {shown}{target}",
            text::kind(inode.kind()).0,
            text::mode(meta.mode),
            inode.links(),
            meta.uid,
            meta.gid,
            text::time(meta.mtime),
        )
    }
}
