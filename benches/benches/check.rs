//! `image-builder check` of an image in an OCI layout, against what its bytes cannot avoid.
//!
//! Nothing of an image is believed: a blob is what its digest names, and each chunk is what the
//! bootstrap says of it. One of the two would say much about the other, but not all: a builder may
//! have stored other chunks than the bootstrap names, and named the blob by what it stored. So the
//! floor has three parts, each measured alone in the same round:
//!
//! - `blob_hash`: SHA-256 of all blobs, as they lie there;
//! - `decompress`: every chunk that lies alone and every batch, once;
//! - `chunk_hash`: SHA-256 of every chunk.
//!
//! The figure that was asked for is the CPU time over their sum, on one core, as the floor is.
//! Not in the floor: reading, the bootstrap, the tables of the blobs, the tree and its hashes.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Context;
use benches::floor::{self, Stopwatch};
use benches::images::{self, scratch};
use benches::report::{Report, Row};
use benches::run::{Cost, pinned, run};
use benches::software::Software;
use image_builder::opened::Opened;
use rafs::ChunkInfo;
use rafs::ci::Location;

const ROUNDS: usize = 5;

/// CPU seconds.
struct Steps {
    blob_hash: f64,
    decompress: f64,
    chunk_hash: f64,
}

/// One round.
struct Round {
    one: Cost,
    two: Cost,
    steps: Steps,
}

fn main() -> anyhow::Result<()> {
    let image = Software::new()?;
    let to = scratch("check")?;
    let place = format!("oci:{}:v1", to.join("layout").display());
    run(&mut images::convert(&image.place("v1"), &place, &to.join("work"))?, 2)?;
    let opened = images::chunked(&place)?.opened;
    let blobs = images::blobs(&to.join("layout"))?;
    let steps = || -> anyhow::Result<Steps> {
        let blob_hash = floor::hash(&blobs)?;
        let (decompress, chunk_hash) = open_all(&opened)?;
        Ok(Steps { blob_hash, decompress, chunk_hash })
    };
    let ours = |cores| {
        let mut command = Command::new(testbed::process::binary("image-builder")?);
        run(command.args(["check", "--json", &place]), cores)
    };
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let first = if round.is_multiple_of(2) { Some(pinned(1, steps)??) } else { None };
        let (one, two) = (ours(1)?, ours(2)?);
        let steps = first.map_or_else(|| pinned(1, steps)?, Ok)?;
        rounds.push(Round { one, two, steps });
    }
    report(&image.name(), &rounds)
}

fn report(name: &str, rounds: &[Round]) -> anyhow::Result<()> {
    let mut report = Report::new("check", ROUNDS);
    let case = |more: &str| format!("{name}, {more}");
    let of = |case: &str, metric: &str, value: &dyn Fn(&Round) -> f64| {
        Row::of(case, metric, rounds.iter().map(value))
    };
    let (one, two, alone) = (case("1 core"), case("2 cores"), case("alone"));
    let floor = "the sum of the steps";
    let ratio = of(&one, "cpu_over_floor", &|it| it.one.cpu / it.steps.sum());
    report.add(ratio.against(floor).at_most(1.2));
    report.add(of(&two, "cpu_over_floor", &|it| it.two.cpu / it.steps.sum()).against(floor));
    report.add(of(&one, "cpu_s", &|it| it.one.cpu));
    report.add(of(&two, "cpu_s", &|it| it.two.cpu));
    report.add(of(&alone, "floor_s", &|it| it.steps.sum()));
    report.add(of(&alone, "blob_hash_s", &|it| it.steps.blob_hash));
    report.add(of(&alone, "decompress_s", &|it| it.steps.decompress));
    report.add(of(&alone, "chunk_hash_s", &|it| it.steps.chunk_hash));
    report.add(of(&one, "wall_s", &|it| it.one.wall));
    report.add(of(&two, "wall_s", &|it| it.two.wall));
    report.add(of(&two, "anon_mib", &|it| it.two.anon_mib));
    report.finish()
}

impl Steps {
    const fn sum(&self) -> f64 {
        self.blob_hash + self.decompress + self.chunk_hash
    }
}

/// Something that is compressed as one: how long it is then, and what it is made of.
struct Unit {
    stored: u64,
    plain: u32,
    chunks: Vec<(ChunkInfo, u32)>,
}

/// Seconds of decompressing and of hashing all that the image has.
fn open_all(opened: &Opened) -> anyhow::Result<(f64, f64)> {
    let (mut decompress, mut hash) = (Stopwatch::default(), Stopwatch::default());
    let mut zstd = zstd::bulk::Decompressor::new()?;
    // Touched, so that it is there.
    let mut room = vec![1; 16 << 20];
    let digester = opened.image().digester;
    for ((blob, offset), unit) in units(opened)? {
        let stored = opened.bytes_of(blob)?.read_at(offset, unit.stored)?;
        let plain = if unit.stored == u64::from(unit.plain) {
            &stored[..]
        } else {
            let length =
                decompress.time(|| zstd.decompress_to_buffer(&stored, room.as_mut_slice()))?;
            &room[..length]
        };
        for (chunk, at) in unit.chunks {
            let end = at as usize + chunk.uncompressed_size as usize;
            let bytes = plain.get(at as usize..end).context("a chunk is not in its batch")?;
            let digest = hash.time(|| digester.digest(bytes));
            anyhow::ensure!(digest == chunk.digest, "a chunk is another one");
        }
    }
    Ok((decompress.seconds, hash.seconds))
}

/// By blob and offset.
fn units(opened: &Opened) -> anyhow::Result<BTreeMap<(u8, u64), Unit>> {
    let mut units = BTreeMap::new();
    for chunk in &opened.image().chunks {
        let (offset, stored, plain, at) = match opened.info_of(chunk.blob)?.locate(chunk)? {
            Location::Alone { offset, size } => {
                (offset, u64::from(size), chunk.uncompressed_size, 0)
            }
            Location::Batched { batch, at } => {
                (batch.offset, u64::from(batch.compressed_size), batch.uncompressed_size, at)
            }
        };
        let unit = Unit { stored, plain, chunks: Vec::new() };
        units.entry((chunk.blob, offset)).or_insert(unit).chunks.push((*chunk, at));
    }
    Ok(units)
}
