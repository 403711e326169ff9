//! `image-builder convert` against what its bytes cannot avoid, and beside `mkfs.erofs`.
//!
//! A real image, gzip in, zstd chunks out, from one OCI layout to another. The floor is the sum of
//! five steps, each measured alone in the same round ([`benches::floor`]):
//!
//! - `source_hash`: SHA-256 of the layers as they come, which says that they are the right ones;
//! - `inflate`: the layers, with gzip's own check;
//! - `chunk_hash`: SHA-256 of every chunk of every file. Those that turn out to be there already
//!   are among them: that is how one knows;
//! - `compress`: every different content once, in the units in which it is stored, each chunk or
//!   each batch of small ones;
//! - `blob_hash`: SHA-256 of all that was made.
//!
//! Not in the floor, though nobody does without them: reading the layers and writing the blobs
//! (told apart, as `read_s` and `write_s`), memory that must be mapped, tars that must be parsed,
//! and the bootstrap.
//!
//! The floor is one thread on one core, and so is the run that it is compared with. A run on two
//! cores is told beside it: there one core takes from the other what they share.
//!
//! `mkfs.erofs` makes an image of the same files, from a folder: nothing to inflate, nothing to
//! hash. It compresses with what Debian's has, LZ4HC, and in one thread.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;

use benches::floor::{self, Stopwatch};
use benches::images::{self, made, scratch};
use benches::report::{Report, Row};
use benches::run::{Cost, pinned, run};
use benches::software::Software;
use image_builder::convert::Format;

const ROUNDS: usize = 5;

/// What makes an image of the same files, at its own level.
const EROFS: &str = "mkfs.erofs, lz4hc";

/// One round.
struct Round {
    one: Cost,
    two: Cost,
    erofs: [Cost; 2],
    steps: Steps,
}

/// CPU seconds.
struct Steps {
    source_hash: f64,
    inflate: f64,
    chunks: floor::Chunks,
    blob_hash: f64,
    read: f64,
    write: f64,
}

fn main() -> anyhow::Result<()> {
    let image = Software::new()?;
    let bench = Bench { layers: layers(&image)?, image };
    // Once, so that the blobs are there to be hashed, and all files are in memory.
    bench.ours(2)?;
    let rounds: Vec<Round> =
        (0..ROUNDS).map(|round| bench.round(round)).collect::<Result<_, _>>()?;
    let mut report = Report::new("convert", ROUNDS);
    bench.add(&mut report, &rounds)?;
    report.finish()
}

fn layers(image: &Software) -> anyhow::Result<Vec<PathBuf>> {
    let manifest = images::manifest(&image.place("v1"))?;
    Ok(manifest.layers.iter().map(|layer| image.blob(&layer.digest)).collect())
}

struct Bench {
    image: Software,
    layers: Vec<PathBuf>,
}

impl Bench {
    /// All in turns; who is first changes from round to round.
    fn round(&self, round: usize) -> anyhow::Result<Round> {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let first = if round.is_multiple_of(2) { Some(self.steps()?) } else { None };
        let (one, two) = (self.ours(1)?, self.ours(2)?);
        let steps = first.map_or_else(|| self.steps(), Ok)?;
        Ok(Round { one, two, erofs: [self.erofs(1)?, self.erofs(2)?], steps })
    }

    fn ours(&self, cores: usize) -> anyhow::Result<Cost> {
        let to = scratch("convert")?;
        let target = format!("oci:{}:v1", to.join("layout").display());
        let mut command = images::convert(&self.image.place("v1"), &target, &to.join("work"))?;
        run(&mut command, cores)
    }

    fn erofs(&self, cores: usize) -> anyhow::Result<Cost> {
        let file = scratch("erofs")?.join("image");
        run(Command::new("mkfs.erofs").arg("-zlz4hc").arg(file).arg(self.image.tree()), cores)
    }

    /// The floor, of what the run before made.
    fn steps(&self) -> anyhow::Result<Steps> {
        let blobs = images::blobs(&layout()?)?;
        pinned(1, || {
            Ok(Steps {
                source_hash: floor::hash(&self.layers)?,
                inflate: floor::inflate(&self.layers)?,
                chunks: floor::hash_and_compress(&self.layers, &Format::default())?,
                blob_hash: floor::hash(&blobs)?,
                read: read(&self.layers)?,
                write: write(&blobs)?,
            })
        })?
    }

    fn add(&self, report: &mut Report, rounds: &[Round]) -> anyhow::Result<()> {
        let entries = self.entries()?;
        let name = self.image.name();
        let case = |more: &str| format!("{name}, {more}");
        let of = |case: &str, metric: &str, value: &dyn Fn(&Round) -> f64| {
            Row::of(case, metric, rounds.iter().map(value))
        };
        let (one, two) = (case("1 core"), case("2 cores"));
        let floor = "the sum of the steps";
        let ratio = of(&one, "cpu_over_floor", &|it| it.one.cpu / it.steps.sum());
        report.add(ratio.against(floor).at_most(1.25));
        let ratio = of(&two, "cpu_over_floor", &|it| it.two.cpu / it.steps.sum());
        report.add(ratio.against(floor));
        report.add(of(&one, "cpu_s", &|it| it.one.cpu));
        report.add(of(&two, "cpu_s", &|it| it.two.cpu));
        let steps = case("alone");
        report.add(of(&steps, "floor_s", &|it| it.steps.sum()));
        report.add(of(&steps, "source_hash_s", &|it| it.steps.source_hash));
        report.add(of(&steps, "inflate_s", &|it| it.steps.inflate));
        report.add(of(&steps, "chunk_hash_s", &|it| it.steps.chunks.hash));
        report.add(of(&steps, "compress_s", &|it| it.steps.chunks.compress));
        report.add(of(&steps, "blob_hash_s", &|it| it.steps.blob_hash));
        report.add(of(&steps, "read_s, not in the floor", &|it| it.steps.read));
        report.add(of(&steps, "write_s, not in the floor", &|it| it.steps.write));
        report.add(of(&one, "wall_s", &|it| it.one.wall));
        report.add(of(&one, "baseline_wall_s", &|it| it.erofs[0].wall).against(EROFS));
        report.add(of(&two, "wall_s", &|it| it.two.wall));
        report.add(of(&two, "baseline_wall_s", &|it| it.erofs[1].wall).against(EROFS));
        #[expect(clippy::cast_precision_loss, reason = "a limit")]
        let limit = 128.0 + 400.0 * entries as f64 / f64::from(1 << 20);
        let asked = format!("128 MiB and 400 bytes for each of {entries} entries");
        for (case, of_which) in [(&one, (|it| it.one) as fn(&Round) -> Cost), (&two, |it| it.two)] {
            let row = of(case, "anon_mib", &|it| of_which(it).anon_mib);
            report.add(row.against(&asked).at_most(limit));
        }
        Ok(())
    }

    /// How many names the image has.
    fn entries(&self) -> anyhow::Result<u64> {
        let layout = layout()?;
        let opened = images::chunked(&format!("oci:{}:v1", layout.display()))?.opened;
        Ok(opened.bootstrap().check()?.names)
    }
}

impl Steps {
    fn sum(&self) -> f64 {
        let Self { source_hash, inflate, chunks, blob_hash, .. } = self;
        source_hash + inflate + chunks.hash + chunks.compress + blob_hash
    }
}

/// Where the last run of ours left its image.
fn layout() -> anyhow::Result<PathBuf> {
    Ok(made("convert")?.join("layout"))
}

/// Seconds of reading these files once.
fn read(files: &[PathBuf]) -> anyhow::Result<f64> {
    let (mut watch, mut buffer) = (Stopwatch::default(), vec![1; 128 << 10]);
    for path in files {
        let mut file = File::open(path)?;
        while watch.time(|| file.read(&mut buffer))? > 0 {}
    }
    Ok(watch.seconds)
}

/// Seconds of writing as many bytes to files that are not there yet.
fn write(files: &[PathBuf]) -> anyhow::Result<f64> {
    let (mut watch, mut buffer) = (Stopwatch::default(), vec![1; 128 << 10]);
    let to = scratch("written")?.join("file");
    for path in files {
        let (mut from, mut file) = (File::open(path)?, File::create(&to)?);
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            watch.time(|| file.write_all(&buffer[..read]))?;
        }
    }
    fs::remove_file(to)?;
    Ok(watch.seconds)
}
