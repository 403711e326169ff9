//! `cat`: a file's bytes.

use std::ffi::OsString;
use std::io::Write;

use anyhow::Context;
use clap::Args;

use crate::opened::ChunkReader;
use crate::opened::find::{Follow, find};
use crate::opened::store::Reach;

use super::outcome::Outcome;
use super::{paths, source};

/// Print files of a chunked image without mounting it
///
/// Only their chunks are fetched, and each is compared with its digest. Symbolic links are followed
/// inside the image.
#[derive(Debug, Args)]
pub struct Cat {
    #[command(flatten)]
    source: source::Source,
    /// The files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
}

impl Cat {
    /// Runs it.
    ///
    /// # Errors
    /// If a file is not there, or its bytes cannot be had.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Parts)?;
        let mut chunks = ChunkReader::new(&opened);
        let mut out = source::stdout();
        for path in &self.paths {
            let id = find(opened.tree(), paths::bytes(path), Follow::Yes)?;
            let content = opened.tree().get(id).and_then(tree::Inode::content);
            let content = content.with_context(|| format!("{path:?} is no regular file"))?;
            chunks.copy(content, &mut out).with_context(|| format!("{path:?} cannot be read"))?;
        }
        out.flush().context("the bytes cannot be written")?;
        Ok(Outcome::Done)
    }
}
