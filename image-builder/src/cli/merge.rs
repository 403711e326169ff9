//! `image-builder merge`: bootstraps of single layers become one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::merge::{Source, merge};
use crate::merkle_of;

/// Its arguments.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.")]
pub(super) struct MergeArgs {
    /// Bootstraps, or data blobs with a bootstrap in them, the lowest layer first. A bootstrap that
    /// does not name its blob is named by the file's own name
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// Where the bootstrap of all is to be
    #[arg(short = 'B', long, value_name = "FILE")]
    bootstrap: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    let read = |path: &PathBuf| {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Source { name, bytes })
    };
    let sources = args.sources.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let image = merge(sources)?;
    let root = merkle_of(&image)?.root();
    let blobs: Vec<_> = image.blobs.iter().map(|blob| blob.id.to_string()).collect();
    let files = image.tree.len();
    let path = args.bootstrap.display();
    std::fs::write(&args.bootstrap, image.write()?)
        .with_context(|| format!("cannot write {path}"))?;
    if args.json {
        let made = json!({"blobs": blobs, "files": files, "merkle_root": root});
        println!("{made}");
    } else {
        println!("{path}: {files} files, {} data blobs", blobs.len());
        println!("  merkle root  {root}");
    }
    Ok(ExitCode::SUCCESS)
}
