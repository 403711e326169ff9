//! `export`: one disk image.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::export::block;
use crate::opened::store::Reach;
use crate::text::size;

use super::outcome::Outcome;
use super::{progress, source};

/// Write a chunked image as one EROFS disk image that the Linux kernel mounts
///
/// All of it is fetched, compared with its digests, and written uncompressed. Mount it with
/// `mount -t erofs -o ro,loop FILE DIR`; Linux 6.4 and newer take it, 6.12 and newer without a
/// loop device.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    source: source::Source,
    /// As a block device's image: the only way there is
    #[arg(long, required = true)]
    block: bool,
    /// The disk image, a new file; blocks of zeros are holes in it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

impl Export {
    /// Runs it.
    ///
    /// # Errors
    /// If a chunk cannot be had, or the file not be written.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Whole)?;
        let shown = self.output.display();
        let mut options = File::options();
        options.write(true).read(true);
        let file = if self.force {
            options.create(true).truncate(true).open(&self.output)
        } else {
            options.create_new(true).open(&self.output)
        };
        let file = file.with_context(|| {
            format!("{shown} cannot be made; with --force a file that is there is written over")
        })?;
        let chunks = opened.image().chunks.iter().map(|chunk| u64::from(chunk.uncompressed_size));
        let bar = progress::bytes("exporting", chunks.fold(0, u64::saturating_add));
        let done = block(&opened, &file, |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let length = done.with_context(|| format!("{shown} is not complete"))?;
        println!("{shown}: {}", size(length));
        Ok(Outcome::Done)
    }
}
