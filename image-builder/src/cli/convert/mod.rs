//! `image-builder convert`: an ordinary image becomes a chunked one.

mod before;
mod format;
mod nydusify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::{ReadingArgs, bar};
use crate::convert::{Options, Progress, Publish, Report, convert};
use crate::oci::Platform;
use crate::place::Place;
use crate::store::{Access, Client};
use before::BeforeArgs;
pub(super) use format::FormatArgs;
use nydusify::NydusifyArgs;

/// Its arguments.
#[expect(clippy::struct_excessive_bools, reason = "each is one flag that people give by name")]
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    image-builder convert alpine:3.20 registry.example/alpine:3.20-chunked\n  \
    image-builder convert --merge-index registry.example/app:v1 registry.example/app:v1\n  \
    image-builder convert docker-archive:app.tar oci:./app:v1\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage.")]
pub(super) struct ConvertArgs {
    /// The ordinary image
    #[arg(value_name = "SOURCE", required_unless_present_any = ["source_flag", "source_archive"])]
    source: Option<Place>,
    /// Where the chunked image is to be
    #[arg(value_name = "TARGET", required_unless_present_any = ["target_flag", "target_archive", "target_suffix"])]
    target: Option<Place>,
    /// Convert only this platform, as linux/arm64; may be given several times [default: all]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Publish the ordinary image too, both in one index under the target's name
    #[arg(long, visible_alias = "merge-platform")]
    merge_index: bool,
    /// Publish the ordinary image too; the chunked one refers to it
    #[arg(long, visible_alias = "with-referrer", conflicts_with = "merge_index")]
    referrer: bool,
    /// Write Docker's media types and not OCI's
    #[arg(long, visible_alias = "docker-v2-format")]
    docker: bool,
    #[command(flatten)]
    before: BeforeArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    access: Access,
    /// How many layers are converted at once [default: one for each core, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Where data blobs lie until they are in the target [default: the target's folder if it is
    /// a layout, otherwise the system's temporary folder]
    #[arg(long, value_name = "FOLDER", env = "MEGANEURA_WORK_DIR")]
    work_dir: Option<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// What is to be fetched before it is read: a path in the image, with all below it; may be given
    /// several times [default: everything]
    #[arg(long, value_name = "PATH", visible_alias = "prefetch-dir")]
    prefetch: Vec<String>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nydusify: NydusifyArgs,
}

impl ConvertArgs {
    fn options(&self, client: &Client, target: &Place) -> anyhow::Result<Options> {
        let mut options = Options {
            cache: self.before.cache(client, target)?,
            dictionary: self.before.dictionary(client, self.format.format())?,
            format: self.format.format(),
            platforms: self.platform.clone(),
            work_dir: self.work_dir.clone().or_else(|| target.beside().map(Into::into)),
            docker: self.docker,
            reading: self.reading.options(),
            ..Options::default()
        };
        if let Some(jobs) = self.jobs {
            options.jobs = usize::from(jobs);
        }
        options.prefetch = self.nydusify.prefetch(&self.prefetch)?;
        options.publish = match (self.merge_index, self.referrer) {
            (true, _) => Publish::Index,
            (_, true) => Publish::Referrer,
            _ => Publish::Alone,
        };
        Ok(options)
    }
}

pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let source = &args.nydusify.source(args.source.as_ref())?;
    let target = &args.nydusify.target(args.target.as_ref(), source)?;
    let client = Client::new(args.access.clone())?;
    let from = client.open(source).with_context(|| format!("cannot open {source}"))?;
    let to = client.create(target).with_context(|| format!("cannot open {target}"))?;
    let options = args.options(&client, target)?;
    let progress = Progress::default();
    let report = bar::beside(&progress, args.json, || convert(&*from, &*to, &options, &progress));
    let report = report.with_context(|| format!("cannot convert {source}"))?;
    args.nydusify.report(&report)?;
    print(&report, target, args.json)
}

/// Says what was made.
pub(super) fn print(report: &Report, target: &Place, json: bool) -> anyhow::Result<ExitCode> {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(ExitCode::SUCCESS);
    }
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("one platform");
        println!("{platform}: {} bytes became {}", image.source_size, image.size);
        println!("  manifest     {}", image.digest);
        println!("  merkle root  {}", image.merkle_root);
    }
    if report.cached_layers > 0 {
        println!("{} layers came from the build cache", report.cached_layers);
    }
    println!("{target} is {}", report.target.digest);
    Ok(ExitCode::SUCCESS)
}
