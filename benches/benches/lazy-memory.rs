//! What mounted images cost in memory: one of 100 000 files, and others beside it, each listed
//! whole and some of its files read.

use std::fs;
use std::path::Path;
use std::process::Command;

use benches::images::{forget, scratch};
use benches::mounts::{Mounts, done};
use benches::report::{Report, Row};
use benches::trees::Packed;
use benches::usage::PeakMemory;
use testbed::Spot;

const ROUNDS: usize = 5;
const FILES: u32 = 100_000;
/// How many images are mounted beside the first, all different.
const FURTHER: u32 = 4;

fn main() -> anyhow::Result<()> {
    let images: Vec<_> =
        (0..=FURTHER).map(|seed| Packed::of(FILES, seed, |_| Ok(()))).collect::<Result<_, _>>()?;
    let mut report = Report::new("lazy-memory", ROUNDS);
    for driver in ["fuse", "erofs"] {
        let (mut one, mut each) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            eprintln!("{driver}: round {} of {ROUNDS}", round + 1);
            let folder = scratch("lazy-memory")?;
            let mut mounts = Mounts::new(&folder.join("cache"), &Spot::loopback())?;
            let mut peak = Vec::new();
            for (number, image) in images.iter().enumerate() {
                let at = folder.join(number.to_string());
                mounts.mount(&image.image(), &at, &["--driver", driver])?;
                let watched = PeakMemory::of(mounts.process()?);
                used(&at)?;
                peak.push(watched.mib());
            }
            one.push(peak[0]);
            each.push((peak[FURTHER as usize] - peak[0]) / f64::from(FURTHER));
            drop(mounts);
        }
        let case = format!("{driver}, {FILES} files");
        report.add(Row::of(&case, "peak_anon_mib, one image", one).at_most(48.0));
        report.add(Row::of(&case, "peak_anon_mib, each further image", each).at_most(2.0));
    }
    forget("lazy-memory")?;
    report.finish()
}

/// Every name is listed with its attributes, and every hundredth file read.
fn used(at: &Path) -> anyhow::Result<()> {
    let listed =
        done(Command::new("find").arg(at).args(["-type", "f", "-size", "-9999k", "-print"]))?;
    let names = String::from_utf8(listed)?;
    for name in names.lines().step_by(100) {
        fs::read(name)?;
    }
    Ok(())
}
