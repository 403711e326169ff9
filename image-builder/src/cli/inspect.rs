//! `inspect`: what an image is, in figures.

use std::io::{self, Write};

use clap::Args;

use crate::inspect::{Summary, summary};
use crate::opened::store::Reach;
use crate::text::size;

use super::outcome::Outcome;
use super::source;

/// Say what a chunked image is: format, sizes, blobs, merkle root
///
/// Only metadata is read. Use check to see whether it is true.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    source: source::Source,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Runs it.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let summary = summary(&*self.source.open(Reach::Parts)?)?;
        if self.json {
            source::print(&serde_json::to_string_pretty(&summary)?)?;
        } else {
            print(&summary)?;
        }
        Ok(Outcome::Done)
    }
}

fn print(it: &Summary) -> io::Result<()> {
    let mut out = source::stdout();
    writeln!(out, "Format:      {}, chunks of {}", it.format, size(it.chunk_size.into()))?;
    writeln!(out, "Compressor:  {}", it.compressor)?;
    writeln!(out, "Digest:      {}", it.digest)?;
    writeln!(out, "Bootstrap:   {}", size(it.bootstrap))?;
    writeln!(
        out,
        "Merkle root: {} ({})",
        it.merkle_root,
        if it.merkle_root_in_manifest { "as the manifest says" } else { "not in a manifest" }
    )?;
    writeln!(
        out,
        "Tree:        {} names, {} files, {} directories",
        it.names, it.files, it.directories
    )?;
    writeln!(out, "Files:       {} in {} chunks", size(it.bytes), it.chunks)?;
    writeln!(out, "Different:   {} in {} chunks", size(it.unique_bytes), it.unique_chunks)?;
    match it.prefetch {
        Some(0) => {}
        Some(files) => writeln!(out, "Prefetch:    {files} files")?,
        None => writeln!(out, "Prefetch:    everything")?,
    }
    for blob in &it.blobs {
        writeln!(out, "Blob:        {}", blob.id)?;
        writeln!(
            out,
            "             {} compressed ({}), {} uncompressed",
            size(blob.compressed),
            blob.compressor,
            size(blob.uncompressed)
        )?;
        writeln!(
            out,
            "             {} of {} chunks used, {} in batches",
            blob.used_chunks, blob.chunks, blob.batched_chunks
        )?;
        writeln!(out, "             {}", blob.features.join(", "))?;
    }
    out.flush()
}
