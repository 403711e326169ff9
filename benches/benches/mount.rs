//! From the order to mount an image until its root is listed, for a small image and a large one.
//! Both were mounted before, so that their metadata is on the node; the process that serves them
//! runs.

use std::fs;
use std::time::Instant;

use benches::images::{forget, scratch};
use benches::mounts::Mounts;
use benches::report::{Report, Row};
use benches::trees::Packed;
use testbed::Spot;

/// More than elsewhere: each is over in some milliseconds.
const ROUNDS: usize = 15;
const SIZES: [u32; 2] = [1_000, 200_000];

fn main() -> anyhow::Result<()> {
    let [small, large] = SIZES.map(|count| Packed::of(count, 1, |_| Ok(())));
    let (small, large) = (small?, large?);
    let mut report = Report::new("mount", ROUNDS);
    for driver in ["fuse", "erofs"] {
        let folder = scratch("mount")?;
        let mut mounts = Mounts::new(&folder.join("cache"), &Spot::loopback())?;
        mounts.mount(&small.image(), &folder.join("stays"), &["--driver", driver])?;
        let mut once = |image: &Packed| -> anyhow::Result<f64> {
            let (at, begun) = (folder.join("at"), Instant::now());
            mounts.mount(&image.image(), &at, &["--driver", driver])?;
            let names = fs::read_dir(&at)?.count();
            let took = begun.elapsed().as_secs_f64();
            anyhow::ensure!(names == 10, "{names} names");
            mounts.umount(&at)?;
            Ok(took)
        };
        once(&small)?;
        once(&large)?;
        let rounds: Vec<[f64; 2]> = (0..ROUNDS)
            .map(|round| {
                if round % 2 == 0 {
                    let first = once(&small)?;
                    return Ok([first, once(&large)?]);
                }
                let second = once(&large)?;
                Ok([once(&small)?, second])
            })
            .collect::<anyhow::Result<_>>()?;
        let of =
            |name: &str, of: fn(&[f64; 2]) -> f64| Row::of(driver, name, rounds.iter().map(of));
        report.add(of("time_ratio", |[a, b]| b / a).against("1 000 files").at_most(1.5));
        report.add(of("ms, 1 000 files", |[a, _]| a * 1e3));
        report.add(of("ms, 200 000 files", |[_, b]| b * 1e3));
        drop(mounts);
        forget("mount")?;
    }
    report.finish()
}
