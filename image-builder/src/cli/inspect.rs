//! `inspect`: what an image is, in figures.

use clap::Args;

use crate::inspect::{Summary, summary};
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
        let summary = summary(&self.source.open()?)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            print(&summary);
        }
        Ok(Outcome::Done)
    }
}

fn print(it: &Summary) {
    println!("Format:      {}, chunks of {}", it.format, size(it.chunk_size.into()));
    println!("Compressor:  {}", it.compressor);
    println!("Digest:      {}", it.digest);
    println!("Bootstrap:   {}", size(it.bootstrap));
    println!(
        "Merkle root: {} ({})",
        it.merkle_root,
        if it.merkle_root_in_manifest { "as the manifest says" } else { "not in a manifest" }
    );
    println!("Tree:        {} names, {} files, {} directories", it.names, it.files, it.directories);
    println!("Files:       {} in {} chunks", size(it.bytes), it.chunks);
    println!("Different:   {} in {} chunks", size(it.unique_bytes), it.unique_chunks);
    match it.prefetch {
        Some(0) => {}
        Some(files) => println!("Prefetch:    {files} files"),
        None => println!("Prefetch:    everything"),
    }
    for blob in &it.blobs {
        println!("Blob:        {}", blob.id);
        println!(
            "             {} compressed ({}), {} uncompressed",
            size(blob.compressed),
            blob.compressor,
            size(blob.uncompressed)
        );
        println!(
            "             {} of {} chunks used, {} in batches",
            blob.used_chunks, blob.chunks, blob.batched_chunks
        );
        println!("             {}", blob.features.join(", "));
    }
}
