//! Mounted images whose chunks are all on the node, by both ways into the kernel, beside ext4 with
//! the same files on the same disk.
//!
//! - `page-warm`: the pages are in the kernel's cache; read by one reader, and small reads by four too.
//!   How fast that goes depends by a tenth on where in the machine's memory pages came to lie, so they
//!   are read into it more often than the rest is measured, those of all sides at one time, and the
//!   sides take turns of a second;
//! - `page-cold`: the caches are dropped, ours, ext4's and all others;
//! - `find`: every name with its attributes, after the kernel has forgotten its inodes.
//!
//! `erofs` is a mount as the next one is after a blob was read whole: the kernel reads the cache
//! file itself. `erofs, served` is the one before: missing pages are asked of us. Both read what is
//! on the disk and verified. The caches of the whole machine are dropped, so nothing else should
//! run beside this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use benches::blob::BlobFile;
use benches::images::{forget as remove, scratch};
use benches::mounts::{Forget, Mounts, done, forget};
use benches::report::{Report, Row};
use benches::trees::Packed;
use testbed::Spot;

const ROUNDS: usize = 5;
/// So often the pages are read into the cache, in each round.
const FILLED: usize = 3;
const FILES: u32 = 100_000;
/// Bytes of the large file.
const LARGE: u64 = 1 << 30;
const SIDES: [&str; 4] = ["ext4", "fuse", "erofs", "erofs, served"];

/// How the pages in the cache are read: reads in order, small reads anywhere, and these by four.
const WAYS: [(&str, &str, &str, &[&str]); 3] = [
    ("sequential", "read", "1M", &[]),
    ("random 4 KiB", "randread", "4k", &[]),
    ("random 4 KiB by four", "randread", "4k", &["--numjobs=4", "--group_reporting"]),
];

/// MB/s of each side in each way, from pages that are in the cache.
type Warm = [[f64; SIDES.len()]; WAYS.len()];

/// MB/s, and seconds of `find`.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    cold: [f64; 2],
    find: f64,
}

fn main() -> anyhow::Result<()> {
    let packed = Packed::of(FILES, 7, |tree| {
        fs::copy(BlobFile::of(LARGE, 7)?.path(), tree.join("large"))?;
        Ok(())
    })?;
    let folder = scratch("lazy-warm")?;
    let mut mounts = Mounts::new(&folder.join("cache"), &Spot::loopback())?;
    let at = |name: &str| folder.join(name);
    let image = packed.image();
    mounts.mount(&image, &at("fuse"), &["--driver", "fuse"])?;
    mounts.mount(&image, &at("erofs, served"), &["--driver", "erofs"])?;
    // All of it is fetched and verified (tar reads nothing if it writes to /dev/null); then the next
    // mount needs nobody.
    done(
        Command::new("tar").args(["--create", "--file", "/dev/zero", "."]).current_dir(at("fuse")),
    )?;
    mounts.mount(&image, &at("erofs"), &["--driver", "erofs"])?;

    let places = SIDES.map(|side| if side == "ext4" { packed.tree() } else { at(side) });
    let (mut warm, mut rounds): (Vec<Warm>, Vec<[Figures; 4]>) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        for filled in 0..FILLED {
            warm.push(measure_warm(&places, round + filled)?);
            eprintln!("  page-warm: {:?}", warm.last());
        }
        let mut figures = [Figures::default(); 4];
        for turn in 0..SIDES.len() {
            let side = (turn + round) % SIDES.len();
            figures[side] = measure(&places[side])?;
            eprintln!("  {}: {:?}", SIDES[side], figures[side]);
        }
        rounds.push(figures);
    }
    drop(mounts);
    remove("lazy-warm")?;
    told(&warm, &rounds)
}

fn told(warm: &[Warm], rounds: &[[Figures; 4]]) -> anyhow::Result<()> {
    let mut report = Report::new("lazy-warm", ROUNDS);
    let of = |case: &str, metric: &str, value: &dyn Fn(&[Figures; 4]) -> f64| {
        Row::of(case, metric, rounds.iter().map(value)).against("ext4")
    };
    for (side, limit) in [(1, true), (2, true), (3, false)] {
        for (kind, (way, ..)) in WAYS.iter().enumerate() {
            let case = format!("page-warm, {way}, {}", SIDES[side]);
            let ratios = warm.iter().map(|filled| filled[kind][side] / filled[kind][0]);
            let row = Row::of(&case, "throughput_ratio", ratios).against("ext4");
            report.add(if limit { row.at_least(0.95) } else { row });
        }
    }
    for (kind, way) in ["sequential", "random 4 KiB"].into_iter().enumerate() {
        let ratio = |r: &[Figures; 4], side: usize| r[side].cold[kind] / r[0].cold[kind];
        let case = |side: &str| format!("page-cold, {way}, {side}");
        let best =
            of(&case("the better driver"), "throughput_ratio", &|r| ratio(r, 1).max(ratio(r, 2)));
        report.add(best.at_least(0.5));
        for (side, name) in SIDES.iter().enumerate().skip(1) {
            report.add(of(&case(name), "throughput_ratio", &|r| ratio(r, side)));
        }
        report.add(Row::of(&case("ext4"), "mb_s", rounds.iter().map(|r| r[0].cold[kind])));
    }
    for (side, limit) in [(1, 4.0), (2, 1.3)] {
        let case = format!("find with stat, {FILES} files, {}", SIDES[side]);
        report.add(of(&case, "time_ratio", &|r| r[side].find / r[0].find).at_most(limit));
    }
    report.finish()
}

/// All pages are read into the cache; then the sides take turns, there and back.
fn measure_warm(places: &[PathBuf; SIDES.len()], first: usize) -> anyhow::Result<Warm> {
    forget(Forget::All)?;
    // Twice: the kernel keeps what was used twice.
    for place in places.iter().chain(places) {
        std::io::copy(&mut fs::File::open(place.join("large"))?, &mut std::io::sink())?;
    }
    let there = (0..SIDES.len()).map(|turn| (turn + first) % SIDES.len());
    let mut warm = Warm::default();
    for (kind, (_, how, block, more)) in WAYS.into_iter().enumerate() {
        let second = [&["--time_based", "--runtime=1"], more].concat();
        for side in there.clone().chain(there.clone().rev()) {
            warm[kind][side] += fio(&places[side].join("large"), how, block, &second)? / 2.0;
        }
    }
    Ok(warm)
}

fn measure(at: &Path) -> anyhow::Result<Figures> {
    let large = at.join("large");
    forget(Forget::All)?;
    let sequential = fio(&large, "read", "1M", &[])?;
    forget(Forget::All)?;
    let random = fio(&large, "randread", "4k", &["--time_based", "--runtime=2"])?;
    Ok(Figures { cold: [sequential, random], find: find(at)? })
}

/// MB/s of reading the file by plain reads, one at a time for each reader.
fn fio(file: &PathBuf, how: &str, block: &str, more: &[&str]) -> anyhow::Result<f64> {
    let mut command = Command::new("fio");
    command.args(["--name=read", "--readonly", "--ioengine=psync", "--output-format=json"]);
    // Nothing is said to the kernel of what comes, and nothing of the cache is dropped.
    command.args(["--fadvise_hint=0", "--invalidate=0", &format!("--rw={how}")]);
    command.arg(format!("--bs={block}")).args(more).arg("--filename").arg(file);
    let told = done(&mut command).context("scripts/deps installs fio")?;
    let told: serde_json::Value = serde_json::from_slice(&told)?;
    let bandwidth = told.pointer("/jobs/0/read/bw_bytes").and_then(serde_json::Value::as_f64);
    Ok(bandwidth.context("fio tells no bandwidth")? / 1e6)
}

/// Seconds until every name was listed with its attributes.
fn find(at: &Path) -> anyhow::Result<f64> {
    forget(Forget::Inodes)?;
    let begun = Instant::now();
    let mut command = Command::new("find");
    command.arg(at).args(["-printf", "%s %m %U %T@ %p\\n"]).stdout(Stdio::null());
    done(&mut command)?;
    Ok(begun.elapsed().as_secs_f64())
}
