//! `check`: whether an image is what it says.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use crate::check::image::check as around;
use crate::check::{Findings, Problem, check, compare_with};
use crate::opened::OpenError;
use crate::opened::store::Reach;
use crate::text::{Text, size};

use super::outcome::Outcome;
use super::{ReadingArgs, progress, source};

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
    /// The ordinary image that it should be the same as
    #[arg(long, value_name = "IMAGE")]
    against: Option<String>,
    #[command(flatten)]
    reading: ReadingArgs,
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
            source::print(&to_json(&findings))?;
        } else {
            print(&findings)?;
        }
        Ok(if findings.problems.is_empty() { Outcome::Done } else { Outcome::Wrong })
    }

    fn look(&self) -> anyhow::Result<Findings> {
        let opened = self.source.open(Reach::Whole)?;
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        let total = opened.image().blobs.iter().map(|blob| blob.compressed_size);
        let bar = progress::bytes("checking", total.fold(0, u64::saturating_add));
        let mut findings = check(&opened, self.threads.unwrap_or_else(cpus), &bar)?;
        bar.finish_and_clear();
        if let source::Image::Whole(chunked) = &opened {
            findings.problems.extend(around(chunked)?);
        }
        if let Some(against) = &self.against {
            let tree = self.source.ordinary(against, &self.reading.options(), &opened)?;
            findings.problems.extend(compare_with(&opened, &tree));
        }
        Ok(findings)
    }
}

fn print(findings: &Findings) -> io::Result<()> {
    let mut out = source::stdout();
    for problem in &findings.problems {
        writeln!(out, "{problem}")?;
    }
    let report = &findings.report;
    writeln!(
        out,
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
    )?;
    out.flush()
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
