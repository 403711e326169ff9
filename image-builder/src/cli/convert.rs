//! `image-builder convert`: an ordinary image becomes a chunked one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rafs::{ChunkSize, Compressor, Digester, Encoder};

use super::StoreArgs;
use super::bar;
use crate::convert::{
    BuildCache, Dictionary, Format, Options, Progress, Publish, RECORDS, Report, convert,
};
use crate::oci::Platform;
use crate::opened::choose::{Want, choose};
use crate::opened::store::{Reach, open};
use crate::place::{Place, PlaceError};
use crate::store::Client;

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
    #[arg(value_name = "SOURCE", required_unless_present = "source_flag")]
    source: Option<Place>,
    /// Where the chunked image is to be
    #[arg(value_name = "TARGET", required_unless_present = "target_flag")]
    target: Option<Place>,
    /// SOURCE, as nydusify has it
    #[arg(long = "source", value_name = "SOURCE", conflicts_with = "source", hide = true)]
    source_flag: Option<Place>,
    /// TARGET, as nydusify has it
    #[arg(long = "target", value_name = "TARGET", conflicts_with = "target", hide = true)]
    target_flag: Option<Place>,
    /// Convert only this platform, as linux/arm64; may be given several times [default: all]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Convert all platforms, as is done anyway
    #[arg(long, hide = true, conflicts_with = "platform")]
    all_platforms: bool,
    /// Publish the ordinary image too, both in one index under the target's name
    #[arg(long, visible_alias = "merge-platform")]
    merge_index: bool,
    /// Publish the ordinary image too; the chunked one refers to it
    #[arg(long, visible_alias = "with-referrer", conflicts_with = "merge_index")]
    referrer: bool,
    /// Write Docker's media types and not OCI's
    #[arg(long, visible_alias = "docker-v2-format")]
    docker: bool,
    /// A chunked image, of the same format: chunks that it has are not stored again. Its blobs are
    /// listed in the new image and taken over into the target, within a registry by reference
    #[arg(long, value_name = "IMAGE", value_parser = dictionary_place)]
    chunk_dict: Option<Place>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How many layers are converted at once [default: one for each core, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Where data blobs lie until they are in the target [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER", env = "MEGANEURA_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Take absolute paths in layers from the root; they are refused otherwise
    #[arg(long)]
    absolute_paths: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// What was converted before.
#[derive(Debug, Args)]
#[command(next_help_heading = "Build cache")]
struct CacheArgs {
    /// Take layers that were converted before from here, and keep others here: a name of its own in
    /// a registry, or oci:FOLDER:TAG. Let only those write to it whom you trust with the images
    #[arg(long, value_name = "CACHE")]
    build_cache: Option<Place>,
    /// The build cache's tag in the target's repository
    #[arg(long, value_name = "TAG", conflicts_with = "build_cache")]
    build_cache_tag: Option<String>,
    /// How many layers the build cache keeps, those that were used last
    #[arg(long, value_name = "N", default_value_t = RECORDS, visible_alias = "build-cache-max-records")]
    build_cache_records: usize,
}

impl CacheArgs {
    fn place(&self, target: &Place) -> anyhow::Result<Option<Place>> {
        let Some(tag) = &self.build_cache_tag else { return Ok(self.build_cache.clone()) };
        let place = target.with_tag(tag).with_context(|| format!("{tag} is no tag of {target}"))?;
        Ok(Some(place))
    }

    fn open(&self, client: &Client, target: &Place) -> anyhow::Result<Option<Arc<BuildCache>>> {
        let Some(place) = self.place(target)? else { return Ok(None) };
        if matches!(place, Place::Archive { .. }) {
            bail!("{place} is an archive, which cannot be added to: use a registry or oci:FOLDER");
        }
        let context = || format!("cannot open the build cache {place}");
        let store = client.create(&place).with_context(context)?;
        let cache = BuildCache::open(store, self.build_cache_records).with_context(context)?;
        Ok(Some(Arc::new(cache)))
    }
}

/// How chunks are stored.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Format")]
pub(super) struct FormatArgs {
    /// How long a chunk is: a power of two from 4k to 16m, in bytes, or with k or m
    #[arg(long, value_name = "SIZE", visible_alias = "fs-chunk-size", default_value = "1m", value_parser = chunk_size)]
    chunk_size: ChunkSize,
    /// How long a batch of small files may get, as a chunk's; 0 to store each file alone
    #[arg(long, value_name = "SIZE", default_value = "256k", value_parser = batch_size)]
    batch_size: BatchSize,
    /// How chunks are compressed; with `none`, the kernel takes data blobs as devices as they are
    #[arg(long, value_enum, default_value_t = CompressorName::Zstd)]
    compressor: CompressorName,
    /// zstd's level
    #[arg(long, value_name = "N", default_value_t = Encoder::LEVEL, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=22))]
    compression_level: i32,
    /// How chunks are hashed
    #[arg(long, value_enum, default_value_t = DigesterName::Sha256)]
    digester: DigesterName,
    /// The format's version; there is one
    #[arg(long, hide = true, default_value = "6", value_parser = ["6"])]
    fs_version: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressorName {
    Zstd,
    #[value(name = "lz4_block", alias = "lz4")]
    Lz4,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DigesterName {
    Sha256,
    Blake3,
}

#[derive(Debug, Clone, Copy)]
struct BatchSize(Option<ChunkSize>);

/// A number of bytes: decimal or, with `0x`, hexadecimal; `k` and `m` mean 1024 and its square.
fn bytes(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    let (digits, unit) = match lower.trim_end_matches("ib").strip_suffix(['k', 'm']) {
        Some(digits) if lower.contains('k') => (digits.to_owned(), 1 << 10),
        Some(digits) => (digits.to_owned(), 1 << 20),
        None => (lower, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let size = bytes(text).and_then(ChunkSize::new);
    size.ok_or_else(|| "it is no power of two from 4k to 16m".to_owned())
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    if bytes(text) == Some(0) {
        Ok(BatchSize(None))
    } else {
        chunk_size(text).map(|it| BatchSize(Some(it)))
    }
}

/// A place; nydusify writes what it is of before it.
fn dictionary_place(text: &str) -> Result<Place, PlaceError> {
    text.strip_prefix("bootstrap:registry:").unwrap_or(text).parse()
}

impl FormatArgs {
    pub(super) fn format(&self) -> Format {
        Format {
            chunk_size: self.chunk_size,
            batch_size: self.batch_size.0,
            compressor: match self.compressor {
                CompressorName::Zstd => Compressor::Zstd,
                CompressorName::Lz4 => Compressor::Lz4,
                CompressorName::None => Compressor::None,
            },
            level: self.compression_level,
            digester: match self.digester {
                DigesterName::Sha256 => Digester::Sha256,
                DigesterName::Blake3 => Digester::Blake3,
            },
        }
    }
}

impl ConvertArgs {
    fn dictionary(&self, client: &Client) -> anyhow::Result<Option<Arc<Dictionary>>> {
        let Some(place) = &self.chunk_dict else { return Ok(None) };
        let context = || format!("{place} is no dictionary");
        let store = client.open(place).with_context(context)?;
        let document = choose(&store, Want::Chunked, None).with_context(context)?;
        let chunked = open(store, document, Reach::Parts).with_context(context)?;
        let dictionary = Dictionary::new(&chunked, self.format.format()).with_context(context)?;
        Ok(Some(Arc::new(dictionary)))
    }

    fn options(&self, client: &Client, target: &Place) -> anyhow::Result<Options> {
        let mut options = Options {
            cache: self.cache.open(client, target)?,
            dictionary: self.dictionary(client)?,
            format: self.format.format(),
            platforms: self.platform.clone(),
            work_dir: self.work_dir.clone(),
            docker: self.docker,
            ..Options::default()
        };
        if let Some(jobs) = self.jobs {
            options.jobs = usize::from(jobs);
        }
        if self.absolute_paths {
            options.reading.absolute_paths = layer::limits::AbsolutePaths::FromRoot;
        }
        options.publish = match (self.merge_index, self.referrer) {
            (true, _) => Publish::Index,
            (_, true) => Publish::Referrer,
            _ => Publish::Alone,
        };
        Ok(options)
    }
}

pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let source = args.source.as_ref().or(args.source_flag.as_ref()).context("no SOURCE")?;
    let target = args.target.as_ref().or(args.target_flag.as_ref()).context("no TARGET")?;
    let client = args.store.client()?;
    let from = client.open(source).with_context(|| format!("cannot open {source}"))?;
    let to = client.create(target).with_context(|| format!("cannot open {target}"))?;
    let options = args.options(&client, target)?;
    let progress = Progress::default();
    let report = bar::beside(&progress, args.json, || convert(&*from, &*to, &options, &progress));
    let report = report.with_context(|| format!("cannot convert {source}"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_and_nydusify_write_them() {
        let size = |text: &str| chunk_size(text).map(ChunkSize::bytes).ok();
        assert_eq!(size("1m"), Some(1 << 20));
        assert_eq!(size("64KiB"), Some(64 << 10));
        assert_eq!(size("0x100000"), Some(1 << 20));
        assert_eq!(size("4096"), Some(4096));
        for bad in ["", "0", "3m", "32m", "1g", "-1", "m", "5000"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert!(batch_size("0").is_ok_and(|size| size.0.is_none()));
    }
}
