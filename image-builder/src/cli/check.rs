//! `check`: whether an image is what it says.

use clap::Args;
use serde_json::{Value, json};

use crate::check::{Findings, Problem, check};
use crate::opened::OpenError;
use crate::text::{Text, size};

use super::outcome::Outcome;
use super::{bar, source};

/// Check that a chunked image is what it says
///
/// Reads all of it once: the structure of the metadata, the digest of every blob, every chunk
/// against its digest, the tables that blobs have of themselves, and the merkle root against the
/// one in the manifest. With --against, also compares the tree with that of the ordinary image
/// that it was made from: names, kinds, modes, owners, times, extended attributes, links, contents.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing is wrong, 1 the check failed, 2 wrong usage, \
    3 something is wrong with the image.")]
pub struct Check {
    #[command(flatten)]
    source: source::Source,
    /// How many threads compare chunks [default: one for each CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Runs it.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let findings = match self.look() {
            Ok(findings) => findings,
            // That it cannot even be opened is a finding too, if it is the image's fault.
            Err(error) if error.downcast_ref::<OpenError>().is_some_and(OpenError::is_fault) => {
                let problems = vec![Problem::Image(format!("{error:#}"))];
                Findings { problems, ..Findings::default() }
            }
            Err(error) => return Err(error),
        };
        if self.json {
            println!("{}", to_json(&findings));
        } else {
            print(&findings);
        }
        Ok(if findings.problems.is_empty() { Outcome::Done } else { Outcome::Wrong })
    }

    fn look(&self) -> anyhow::Result<Findings> {
        let opened = self.source.open()?;
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        let total = opened.image().blobs.iter().map(|blob| blob.compressed_size);
        let bar = bar::bytes("checking", total.fold(0, u64::saturating_add));
        let findings = check(&opened, self.threads.unwrap_or_else(cpus), &bar)?;
        bar.finish_and_clear();
        Ok(findings)
    }
}

fn print(findings: &Findings) {
    for problem in &findings.problems {
        println!("{problem}");
    }
    let report = &findings.report;
    println!(
        "{} files in {} directories, {}; {} chunks, {}; blobs of {}: {}",
        report.files,
        report.directories,
        size(report.bytes),
        findings.chunks,
        size(findings.chunk_bytes),
        size(findings.blob_bytes),
        match findings.problems.len() {
            0 => "nothing is wrong".to_owned(),
            1 => "1 thing is wrong".to_owned(),
            many => format!("{many} things are wrong"),
        }
    );
}

fn to_json(findings: &Findings) -> Value {
    let report = &findings.report;
    json!({
        "ok": findings.problems.is_empty(),
        "names": report.names,
        "inodes": report.inodes,
        "directories": report.directories,
        "files": report.files,
        "bytes": report.bytes,
        "chunks": findings.chunks,
        "chunk_bytes": findings.chunk_bytes,
        "blob_bytes": findings.blob_bytes,
        "problems": findings.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn problem(problem: &Problem) -> Value {
    let path = |path: &tree::Path| Text([b"/", path.as_bytes()].concat());
    let mut json = match problem {
        Problem::Blob { blob, .. } => json!({"kind": "blob", "blob": blob.to_string()}),
        Problem::Chunk { chunk, blob, files, .. } => json!({
            "kind": "chunk",
            "chunk": chunk.to_string(),
            "blob": blob.to_string(),
            "files": files.iter().map(path).collect::<Vec<_>>(),
        }),
        Problem::Image(_) => json!({"kind": "image"}),
        Problem::Differs(difference) => {
            let mut json = super::diff::difference(difference);
            json["kind"] = "differs".into();
            json
        }
    };
    json["message"] = problem.to_string().into();
    json
}
