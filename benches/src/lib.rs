//! What benches are made of. One bench is one file in `benches/benches/`; `make bench NAME=…` runs it.
//!
//! - [`report`]: the figures, as a table and as `target/bench/NAME.json`;
//! - [`rounds`]: ours and the baseline in turns;
//! - [`usage`]: CPU seconds and peak anonymous memory, from the operating system;
//! - [`blob`]: large blobs of known digest; [`nginx`]: a server for them, as a registry or as a baseline;
//! - [`client`]: a load client that throws away what it gets, cheaply;
//! - [`rig`]: a supernode and a node;
//! - [`net`]: network namespaces and links of a given rate;
//! - [`software`]: a real image, of the packages that are installed here; [`images`]: what is asked
//!   of images in layout folders;
//! - [`mounts`]: `nydusd` over a cache of its own; [`trees`]: images of many small files;
//! - [`run`](mod@run): a program run to its end on so many cores;
//! - [`floor`], [`units`]: what the bytes of an image cannot avoid, step by step.
//!
//! Processes are started by the testbed; it finds the release binaries beside a bench that
//! `make bench` built.
//!
//! ```no_run
//! # fn example() -> anyhow::Result<()> {
//! use benches::report::{Report, Row};
//! let mut report = Report::new("example", 5);
//! let turns = benches::rounds::in_turns(5, |side| Ok(1.0))?;
//! let ratios = turns.iter().map(|turn| turn.ours / turn.baseline);
//! report.add(Row::of("1 GiB", "time_ratio", ratios).against("the bound").at_most(1.1));
//! report.finish()?;
//! # Ok(())
//! # }
//! ```

pub mod blob;
pub mod client;
pub mod floor;
pub mod images;
pub mod mounts;
pub mod net;
pub mod nginx;
pub mod report;
pub mod rig;
pub mod rounds;
pub mod run;
pub mod software;
pub mod trees;
pub mod units;
pub mod usage;

use std::path::PathBuf;

use anyhow::Context;

/// `target/bench`: reports, and large files that are made once.
///
/// # Errors
/// If it cannot be made.
pub fn folder() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // target/PROFILE/deps/BENCH
    let target = exe.ancestors().nth(3).context("the bench was not built by cargo")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
