//! `nydusd fuse`

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::json;
use telemetry::logs;

use super::chunks::ChunkArgs;
use crate::descriptors;
use crate::log_file::{self, LogFile};
use crate::snapshotter::daemon::Daemon;
use crate::snapshotter::options::Options;
use crate::snapshotter::serve::{Only, Said, serve};

/// Serve images as nydus-snapshotter asks for them
///
/// With --bootstrap and --config, one image at the mount point. Without, those that are asked for
/// over the API, each at a folder below the mount point.
#[derive(Debug, Args)]
pub(super) struct Fuse {
    /// Where to mount: a folder that is there
    #[arg(short = 'M', long, value_name = "DIR")]
    mountpoint: PathBuf,
    /// The image's bootstrap
    #[arg(short = 'B', long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// The mount's configuration: which registry, which cache folder (JSON or TOML)
    #[arg(short = 'C', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the image's blobs, in place of a configuration
    #[arg(short = 'D', long, value_name = "DIR", conflicts_with = "config")]
    localfs_dir: Option<PathBuf>,
    /// The unix socket of the API
    #[arg(short = 'A', long, value_name = "FILE")]
    apisock: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Log into a file [default: standard error]
    #[arg(short = 'L', long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Put the log file aside when it has so many MiB; 0 for never
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    log_rotation_size: u64,
    /// What the snapshotter calls this daemon
    #[arg(long, requires = "supervisor")]
    id: Option<String>,
    /// The socket of a supervisor, which is told nothing: descriptors are not handed over
    #[arg(long, value_name = "FILE", requires = "id")]
    supervisor: Option<PathBuf>,
    /// Wait for another daemon's descriptors, which never come
    #[arg(long)]
    upgrade: bool,
    /// Accepted; there are as many threads as are needed
    #[arg(long, visible_alias = "fuse-threads", value_name = "N")]
    thread_num: Option<u32>,
    /// Accepted; descriptors are not handed over
    #[arg(long, value_name = "POLICY")]
    failover_policy: Option<String>,
    /// Accepted; there are as many descriptors as there may be
    #[arg(long, value_name = "N")]
    rlimit_nofile: Option<u64>,
    /// A list of paths in the image, one a line, that are fetched before the image's own list, if the
    /// configuration has anything prefetched
    #[arg(long, value_name = "FILE")]
    prefetch_files: Option<PathBuf>,
    #[command(flatten)]
    chunks: ChunkArgs,
}

impl Fuse {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let longest = self.log_rotation_size.checked_mul(1 << 20).filter(|longest| *longest > 0);
        let log = self.log_file.as_deref().map(|path| LogFile::redirect(path, longest));
        let log = log.transpose()?;
        logs::init_changeable(&log_file::config(&self.log_level))?;
        // Each thread that hears the kernel has room for a write of 16 MiB, which never comes.
        sys::keep_large_allocations_apart();
        descriptors::raise();
        let config = match (self.config, self.localfs_dir) {
            (Some(file), _) => Some(Said::File(file)),
            (None, Some(folder)) => Some(Said::Text(of_files(&folder))),
            (None, None) => None,
        };
        let only = match (self.bootstrap, config) {
            (Some(bootstrap), Some(config)) => {
                Some(Only { bootstrap, config, first: self.prefetch_files })
            }
            (None, None) if self.apisock.is_some() => None,
            (None, None) => bail!("there is nothing to be mounted, and no --apisock to ask by"),
            _ => bail!("--bootstrap goes with --config or --localfs-dir"),
        };
        let daemon = Daemon::new(Options {
            id: self.id,
            supervisor: self.supervisor,
            mountpoint: std::path::absolute(&self.mountpoint)?,
            driver: self.chunks.driver,
            supply: self.chunks.supply(),
            upgrade: self.upgrade,
        })?;
        serve(daemon, self.apisock.as_deref(), only, log)
    }
}

/// The configuration of a mount whose blobs are the files of a folder.
fn of_files(folder: &Path) -> String {
    let backend = json!({ "type": "localfs", "config": { "dir": folder } });
    json!({ "device": { "backend": backend } }).to_string()
}
