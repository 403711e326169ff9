//! `diff`: two chunked images.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use crate::compare::{Change, Difference};
use crate::diff::{Fetch, comparable, differences, fetch};
use crate::opened::Opened;
use crate::opened::store::Reach;
use crate::text::{Text, size};

use super::outcome::Outcome;
use super::source;

/// Say what differs between two chunked images, and what to fetch
///
/// Compares by the roots of subtrees: a directory that is the same is not looked into. Then says
/// what a node that has all of A must still fetch for B. Only metadata is read. Differing is no
/// error: the exit code is 0.
#[derive(Debug, Args)]
pub struct Diff {
    /// The image that is there
    #[arg(value_name = "A")]
    a: String,
    /// The image that is wanted
    #[arg(value_name = "B")]
    b: String,
    #[command(flatten)]
    with: source::With,
    /// Only the figures, not each file
    #[arg(long)]
    summary: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Diff {
    /// Runs it.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let open = |name| self.with.open(name, Reach::Parts);
        let (a, b) = (open(&self.a)?, open(&self.b)?);
        let found = if comparable(&a, &b) {
            differences(&a, &b)
        } else {
            eprintln!(
                "The images are cut or hashed differently, so files of more than one chunk count \
                 as different."
            );
            differences(&a, &b)
        };
        let fetch = fetch(&a, &b)?;
        if self.json {
            source::print(&self.to_json(&a, &b, &found, &fetch))?;
        } else {
            self.print(&found, &fetch)?;
        }
        Ok(Outcome::Done)
    }

    fn print(&self, found: &[Difference], fetch: &Fetch) -> io::Result<()> {
        let mut out = source::stdout();
        for difference in found.iter().filter(|_| !self.summary) {
            writeln!(out, "{difference}")?;
        }
        let count = |of: fn(&Change) -> bool| found.iter().filter(|d| of(&d.change)).count();
        writeln!(
            out,
            "{} removed, {} added, {} changed",
            count(|change| *change == Change::Removed),
            count(|change| *change == Change::Added),
            count(|change| matches!(change, Change::Changed(_))),
        )?;
        writeln!(
            out,
            "To fetch: {} ({} chunks, {} uncompressed, of {} chunks, {}) and the bootstrap, {}",
            size(fetch.stored()),
            fetch.chunks(),
            size(fetch.bytes()),
            fetch.all_chunks,
            size(fetch.all_bytes),
            size(fetch.bootstrap),
        )?;
        out.flush()
    }

    fn to_json(&self, a: &Opened, b: &Opened, found: &[Difference], fetch: &Fetch) -> Value {
        let blobs = fetch.blobs.iter().map(|blob| {
            json!({
                "blob": blob.blob.to_string(),
                "chunks": blob.chunks,
                "stored": blob.stored,
                "bytes": blob.bytes,
            })
        });
        let found = found.iter().filter(|_| !self.summary).map(difference);
        json!({
            "root_a": a.hashes().root().to_string(),
            "root_b": b.hashes().root().to_string(),
            "comparable": comparable(a, b),
            "differences": found.collect::<Vec<_>>(),
            "fetch": {
                "chunks": fetch.chunks(),
                "stored": fetch.stored(),
                "bytes": fetch.bytes(),
                "all_chunks": fetch.all_chunks,
                "all_bytes": fetch.all_bytes,
                "bootstrap": fetch.bootstrap,
                "blobs": blobs.collect::<Vec<_>>(),
            },
        })
    }
}

/// One difference as JSON.
pub(super) fn difference(difference: &Difference) -> Value {
    let path = Text([b"/", difference.path.as_bytes()].concat());
    let (change, aspects) = match &difference.change {
        Change::Removed => ("removed", Vec::new()),
        Change::Added => ("added", Vec::new()),
        Change::Changed(aspects) => {
            ("changed", aspects.iter().map(|aspect| aspect.word()).collect())
        }
    };
    json!({ "path": path, "change": change, "aspects": aspects })
}
