//! `prove` and `verify-proof`: one file or subtree against the merkle root.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use content::Digest;
use merkle::What;
use serde_json::json;

use crate::opened::store::Reach;
use crate::prove::{VerifyError, prove, verify, verify_bytes};
use crate::text;

use super::outcome::Outcome;
use super::{paths, source};

/// Prove what a file or subtree of an image is, to somebody who has only the root
///
/// The proof is a small file: the directories on the way, and a few hashes beside each.
#[derive(Debug, Args)]
pub struct Prove {
    #[command(flatten)]
    source: source::Source,
    /// The file, or the directory with all that is in it; symbolic links are not followed
    #[arg(value_name = "PATH")]
    path: OsString,
    /// Where to write the proof; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Prove {
    /// Runs it.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let opened = self.source.open(Reach::Parts)?;
        let path = paths::clean(&self.path)?;
        let proof = prove(&opened, &path)?.to_bytes();
        if self.output.as_os_str() == "-" {
            std::io::Write::write_all(&mut source::binary_stdout()?, &proof)?;
        } else {
            let shown = self.output.display();
            fs::write(&self.output, &proof)
                .with_context(|| format!("{shown} cannot be written"))?;
            println!("{} bytes prove {path} under {}", proof.len(), opened.hashes().root());
        }
        Ok(Outcome::Done)
    }
}

/// Check a proof that `prove` made, against the root alone
///
/// The root is that of an image's manifest, annotation io.meganeura.merkle-root; whoever signed or
/// pinned the manifest has said it. No image is needed.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is proven, 1 the check failed, 2 wrong usage, \
    3 the proof does not show it.")]
pub struct VerifyProof {
    /// The root: sha256:…
    #[arg(long, value_name = "DIGEST")]
    root: Digest,
    /// The proof
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// The path that it is of
    #[arg(value_name = "PATH")]
    path: OsString,
    /// A file that should have the bytes that are proven
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl VerifyProof {
    /// Runs it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let path = paths::clean(&self.path)?;
        let shown = self.proof.display();
        let proof = fs::read(&self.proof).with_context(|| format!("{shown} cannot be read"))?;
        let verified = verify(self.root, &path, &proof).and_then(|proven| {
            if let Some(content) = &self.content {
                verify_bytes(&proven, &mut File::open(content)?)?;
            }
            Ok(proven)
        });
        let proven = match verified {
            Ok(proven) => proven,
            Err(VerifyError::Read(error)) => {
                return Err(error).context("the file to compare cannot be read");
            }
            Err(why) => {
                if self.json {
                    println!("{}", json!({ "proven": false, "why": why.to_string() }));
                }
                eprintln!("image-builder: {path} is not proven: {why}");
                return Ok(Outcome::Wrong);
            }
        };
        let record = &proven.record;
        let (kind, size) = match &record.what {
            What::File(content) => ("file", content.size()),
            What::Directory { entries, .. } => ("directory", *entries),
            What::CharDevice(_) => ("char-device", 0),
            What::BlockDevice(_) => ("block-device", 0),
            What::Fifo => ("fifo", 0),
            What::Socket => ("socket", 0),
            What::Symlink(target) => ("symlink", target.len() as u64),
        };
        let meta = &record.meta;
        let mode = format!("{:04o}", meta.mode.bits());
        if self.json {
            let json = json!({
                "proven": true, "kind": kind, "size": size, "mode": mode,
                "uid": meta.uid, "gid": meta.gid, "mtime": text::time(meta.mtime),
                "links": record.links(), "hash": proven.hash.to_string(),
                "content": self.content.is_some(),
            });
            println!("{json}");
        } else {
            let (uid, gid, time) = (meta.uid, meta.gid, text::time(meta.mtime));
            println!("{path} is proven: {kind}, {size}, {mode}, {uid}:{gid}, {time}");
            println!("hash {}", proven.hash);
        }
        Ok(Outcome::Done)
    }
}
