//! The real nydus-snapshotter, with our nydusd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Bed;
use crate::containerd::{mounts_below, unmount_below};
use crate::process::{Process, binary};

/// What containerd calls it.
pub const PLUGIN: &str = "nydus";

/// The program that `scripts/snapshotter` builds.
const PROGRAM: &str = "containerd-nydus-grpc";

/// How it uses nydusd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A process for each image.
    Dedicated,
    /// One for all.
    Shared,
}

/// A running snapshotter.
#[derive(Debug)]
pub struct Snapshotter {
    process: Process,
    home: PathBuf,
    driver: String,
    dfdaemon: PathBuf,
    docker: PathBuf,
}

/// Whether the snapshotter, and what pulls for it, are here. Where they are not, it is said aloud; in
/// CI it is an error.
///
/// # Panics
/// In CI, if something is missing.
#[must_use]
pub fn is_here() -> bool {
    let mut missing = Vec::new();
    if program().is_none() {
        missing.push("nydus-snapshotter (scripts/snapshotter builds it with Go)");
    }
    if in_path("ctr-remote").is_none() {
        missing.push("ctr-remote (scripts/snapshotter installs it)");
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("root's rights");
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        crate::skipped(&format!("there is no {missing}"));
        return false;
    }
    true
}

/// `target/tools` of this checkout, or the system's.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let built = test.ancestors().map(|folder| folder.join("tools").join(PROGRAM));
    built.into_iter().find(|path| path.is_file()).or_else(|| in_path(PROGRAM))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl Snapshotter {
    /// Starts one whose nydusd mounts by `driver` (`auto`, `fuse`, `erofs`), and asks the dfdaemon
    /// behind the socket `dfdaemon`, which need not be there. Credentials are in docker's
    /// configuration in the folder `docker`.
    ///
    /// # Errors
    /// If it is not here, or does not get ready.
    pub async fn start(
        bed: &Bed,
        mode: Mode,
        driver: &str,
        dfdaemon: &Path,
        docker: &Path,
    ) -> anyhow::Result<Self> {
        let home = bed.path().join("snapshotter");
        fs::create_dir_all(&home)?;
        fs::write(home.join("nydusd.json"), TEMPLATE)?;
        fs::write(home.join("config.toml"), config(&home, mode)?)?;
        let process = launch(&home, driver, dfdaemon, docker)?;
        let (dfdaemon, docker) = (dfdaemon.to_owned(), docker.to_owned());
        let driver = driver.to_owned();
        let mut snapshotter = Self { process, home, driver, dfdaemon, docker };
        snapshotter.ready().await?;
        Ok(snapshotter)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        for _ in 0..400 {
            if tokio::net::UnixStream::connect(self.socket()).await.is_ok() {
                return Ok(());
            }
            if !self.process.is_running() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("nydus-snapshotter does not get ready:\n{}", self.process.log())
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join("snapshotter.sock")
    }

    /// What it, and its nydusd, logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it at once, as `kill -9` does, and starts it anew; its nydusd go on.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process = launch(&self.home, &self.driver, &self.dfdaemon, &self.docker)?;
        self.ready().await
    }

    /// The processes of nydusd that it started, which live on without it.
    #[must_use]
    pub fn daemons(&self) -> Vec<u32> {
        let home = self.home.as_os_str().as_encoded_bytes();
        let ours = |pid: &u32| {
            let said = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = said.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"/nydusd"))
                && words.any(|word| word.starts_with(home))
        };
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        names.filter_map(|name| name.file_name().to_str()?.parse().ok()).filter(ours).collect()
    }

    /// What is mounted below its folder.
    #[must_use]
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounts_below(&self.home)
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        for pid in self.daemons() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        unmount_below(&self.home);
    }
}

fn launch(home: &Path, driver: &str, dfdaemon: &Path, docker: &Path) -> anyhow::Result<Process> {
    let program = program().context("nydus-snapshotter is not here: run scripts/snapshotter")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(home.join("config.toml"));
    // Its nydusd inherits these.
    command.env("MEGANEURA_DFDAEMON_SOCKET", dfdaemon);
    command.env("MEGANEURA_DRIVER", driver);
    command.env("DOCKER_CONFIG", docker);
    Process::start("nydus-snapshotter", home, &mut command)
}

/// What it makes each mount's configuration of. That chunks are to be checked is said nowhere.
const TEMPLATE: &str = r#"{
    "device": {
        "backend": { "type": "registry", "config": { "scheme": "http", "timeout": 5 } },
        "cache": { "type": "blobcache", "validate": false }
    },
    "mode": "direct",
    "digest_validate": false,
    "enable_xattr": true,
    "fs_prefetch": { "enable": false }
}"#;

fn config(home: &Path, mode: Mode) -> anyhow::Result<String> {
    let mode = match mode {
        Mode::Dedicated => "dedicated",
        Mode::Shared => "shared",
    };
    let (nydusd, home) = (binary("nydusd")?, home.display());
    let nydusd = nydusd.display();
    Ok(format!(
        "version = 1\nroot = \"{home}/root\"\naddress = \"{home}/snapshotter.sock\"\n\
         daemon_mode = \"{mode}\"\n\
         [system]\nenable = false\n\
         [daemon]\nnydusd_config = \"{home}/nydusd.json\"\nnydusd_path = \"{nydusd}\"\n\
         nydusimage_path = \"/nonexistent\"\nfs_driver = \"fusedev\"\n\
         recover_policy = \"restart\"\nthreads_number = 4\n\
         [log]\nlog_to_stdout = true\nlevel = \"info\"\n\
         [snapshot]\nsync_remove = true\n"
    ))
}
