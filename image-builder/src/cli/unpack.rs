//! `unpack`: back to a tar or a directory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::opened::Opened;
use crate::opened::store::Reach;
use crate::unpack::{Owners, to_directory, to_tar};

use super::outcome::Outcome;
use super::{progress, source};

/// Turn a chunked image back into an OCI layer's tar, or a directory
///
/// Every chunk is compared with its digest before it is written. The tar is one layer of the whole
/// image; the same image always gives the same bytes.
#[derive(Debug, Args)]
pub struct Unpack {
    #[command(flatten)]
    source: source::Source,
    #[command(flatten)]
    target: Target,
    /// With --dir: the files are yours, and devices are left out; for those who are not root
    #[arg(long, requires = "dir")]
    no_owners: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Write a tar; - is standard output
    #[arg(short = 'o', long, visible_alias = "output", value_name = "FILE")]
    tar: Option<PathBuf>,
    /// Make the tree in a directory that is empty or not there yet
    #[arg(short = 'C', long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Unpack {
    /// Runs it.
    ///
    /// # Errors
    /// If a chunk cannot be had, or something cannot be made.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Whole)?;
        if let Some(dir) = &self.target.dir {
            let owners = if self.no_owners { Owners::Mine } else { Owners::Kept };
            let bar = progress::bytes("unpacking", total(&opened));
            let done = to_directory(&opened, dir, owners, |bytes| bar.inc(bytes));
            bar.finish_and_clear();
            let done = done.with_context(|| format!("{} is not complete", dir.display()))?;
            if done.skipped > 0 {
                eprintln!("{} devices were left out: only root makes them", done.skipped);
            }
        } else if let Some(tar) = &self.target.tar {
            let sockets = self.tar(&opened, tar)?;
            if sockets > 0 {
                eprintln!("{sockets} sockets were left out: no tar has them");
            }
        }
        Ok(Outcome::Done)
    }

    fn tar(&self, opened: &Opened, path: &std::path::Path) -> anyhow::Result<u64> {
        let bar = progress::bytes("unpacking", total(opened));
        let progress = |bytes| bar.inc(bytes);
        let sockets = if path.as_os_str() == "-" {
            let mut out = source::binary_stdout()?;
            let sockets = to_tar(opened, &mut out, progress)?;
            out.flush().context("the tar cannot be written")?;
            sockets
        } else {
            let shown = path.display();
            let file = File::create(path).with_context(|| format!("{shown} cannot be made"))?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let sockets = to_tar(opened, &mut out, progress)?;
            let file = out.into_inner().map_err(std::io::IntoInnerError::into_error);
            let synced = file.and_then(|file| file.sync_all());
            synced.with_context(|| format!("{shown} cannot be written"))?;
            sockets
        };
        bar.finish_and_clear();
        Ok(sockets)
    }
}

fn total(opened: &Opened) -> u64 {
    let sizes = opened.tree().inodes().filter_map(|(_, inode)| Some(inode.content()?.size));
    sizes.fold(0, u64::saturating_add)
}
