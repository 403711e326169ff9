//! nydusify's names for what has another name here, so that pipelines need not be rewritten.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use tree::Path;

use crate::convert::Report;
use crate::place::{ArchiveKind, Place};

/// Flags of `nydusify convert`. Not shown: who needs them knows them.
#[expect(clippy::struct_excessive_bools, reason = "each is one flag that people give by name")]
#[derive(Debug, Args)]
pub(super) struct NydusifyArgs {
    /// SOURCE
    #[arg(long = "source", value_name = "SOURCE", conflicts_with = "source", hide = true)]
    source_flag: Option<Place>,
    /// SOURCE, an archive
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "source_flag"], hide = true)]
    source_archive: Option<PathBuf>,
    /// TARGET
    #[arg(long = "target", value_name = "TARGET", conflicts_with = "target", hide = true)]
    target_flag: Option<Place>,
    /// TARGET, an archive
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "target_flag"], hide = true)]
    target_archive: Option<PathBuf>,
    /// SOURCE with this behind its tag is TARGET
    #[arg(long, value_name = "SUFFIX", allow_hyphen_values = true, conflicts_with_all = ["target", "target_flag", "target_archive"], hide = true)]
    target_suffix: Option<String>,
    /// Convert all platforms, as is done anyway
    #[arg(long, hide = true, conflicts_with = "platform")]
    all_platforms: bool,
    /// Write OCI's media types, as is done anyway
    #[arg(long, hide = true, conflicts_with = "docker")]
    oci: bool,
    /// Paths to be fetched first, a line each, from standard input
    #[arg(long, hide = true)]
    prefetch_patterns: bool,
    /// The report as JSON, into a file
    #[arg(long, value_name = "FILE", hide = true)]
    output_json: Option<PathBuf>,
    /// Refused, with what to do
    #[arg(
        long = "insecure",
        aliases = ["source-insecure", "target-insecure", "build-cache-insecure", "chunk-dict-insecure"],
        hide = true
    )]
    insecure: bool,
}

impl NydusifyArgs {
    pub(super) fn source(&self, named: Option<&Place>) -> anyhow::Result<Place> {
        if self.insecure {
            bail!(
                "certificates are always verified: name the registry's authority by --ca FILE, or speak plain HTTP with it by --plain-http"
            );
        }
        let archive = self.source_archive.clone().map(archive);
        named.or(self.source_flag.as_ref()).cloned().or(archive).context("no SOURCE")
    }

    pub(super) fn target(&self, named: Option<&Place>, source: &Place) -> anyhow::Result<Place> {
        let archive = self.target_archive.clone().map(archive);
        if let Some(place) = named.or(self.target_flag.as_ref()).cloned().or(archive) {
            return Ok(place);
        }
        let suffix = self.target_suffix.as_ref().context("no TARGET")?;
        let tag =
            source.tag().with_context(|| format!("{source} has no tag to put {suffix} behind"))?;
        Ok(source.with_tag(&format!("{tag}{suffix}"))?)
    }

    /// What is to be fetched first.
    pub(super) fn prefetch(&self, named: &[String]) -> anyhow::Result<Vec<Path>> {
        let mut lines = named.to_vec();
        if self.prefetch_patterns {
            let mut input = String::new();
            std::io::stdin().read_to_string(&mut input).context("standard input cannot be read")?;
            lines.extend(
                input.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned),
            );
        }
        let parse = |line: &String| {
            Path::parse(line.as_bytes()).with_context(|| format!("{line} is no path in an image"))
        };
        lines.iter().map(parse).collect()
    }

    pub(super) fn report(&self, report: &Report) -> anyhow::Result<()> {
        let Some(file) = &self.output_json else { return Ok(()) };
        let written = fs::write(file, serde_json::to_vec_pretty(report)?);
        written.with_context(|| format!("{} cannot be written", file.display()))
    }
}

fn archive(file: PathBuf) -> Place {
    Place::Archive { kind: ArchiveKind::Oci, file, tag: None }
}
