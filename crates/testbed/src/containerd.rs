//! A containerd of the test's own: its root, state and socket are in the test's folder, and the
//! system's containerd is left alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use content::Digest;

use crate::cluster::Bed;
use crate::process::Process;
use crate::tool::{Tool, missing, tool};

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    name: String,
    process: Process,
    home: PathBuf,
}

/// Where nobody listens: a pull that needs more than the hosts before it fails, and does not
/// quietly succeed.
pub const NOWHERE: &str = "http://127.0.0.1:1";

impl Containerd {
    /// Starts one.
    ///
    /// # Errors
    /// If containerd is not installed, or does not get ready within 20 seconds.
    pub async fn start(bed: &Bed, name: &str) -> anyhow::Result<Self> {
        Self::with(bed, name, "").await
    }

    /// Starts one that has the snapshotter behind `socket` too, by the name `plugin`.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub async fn beside(
        bed: &Bed,
        name: &str,
        plugin: &str,
        socket: &Path,
    ) -> anyhow::Result<Self> {
        let socket = socket.display();
        let more =
            format!("[proxy_plugins.{plugin}]\ntype = \"snapshot\"\naddress = \"{socket}\"\n");
        Self::with(bed, name, &more).await
    }

    async fn with(bed: &Bed, name: &str, more: &str) -> anyhow::Result<Self> {
        let home = bed.path().join(format!("containerd-{name}"));
        std::fs::create_dir_all(&home)?;
        let config = format!(
            "version = 2\nroot = \"{home}/root\"\nstate = \"{home}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{home}/sock\"\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{home}/opt\"\n{more}",
            home = home.display()
        );
        let file = home.join("config.toml");
        std::fs::write(&file, config)?;
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&file);
        let process = Process::start("containerd", &home, &mut command)
            .with_context(|| missing("containerd", "containerd"))?;
        let mut containerd = Self { name: name.to_owned(), process, home };
        containerd.ready().await?;
        Ok(containerd)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        for _ in 0..400 {
            if self.home.join("sock").exists()
                && self.ctr(["version"]).output().await?.status.success()
            {
                return Ok(());
            }
            if !self.process.is_running() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("containerd does not get ready:\n{}", self.process.log())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says by which hosts a registry is reached: each mirror in turn, the registry itself last.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn hosts(&self, registry: &str, mirrors: &[String], server: &str) -> anyhow::Result<()> {
        let mut hosts = format!("server = \"{server}\"\n");
        for mirror in mirrors {
            write!(hosts, "[host.\"{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n")?;
        }
        let dir = self.home.join("hosts.d").join(registry);
        std::fs::create_dir_all(&dir)?;
        Ok(std::fs::write(dir.join("hosts.toml"), hosts)?)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join("sock")
    }

    fn ctr<const N: usize>(&self, args: [&str; N]) -> Tool {
        self.by(tool("ctr", "containerd"), args)
    }

    fn by<const N: usize>(&self, tool: Tool, args: [&str; N]) -> Tool {
        tool.args(["--address"]).args([self.socket()]).args(args)
    }

    /// Pulls an image and unpacks it, as `ctr images pull` does.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn pull(&self, reference: &str) -> anyhow::Result<()> {
        // The snapshotter that works on every filesystem.
        let pull = self.ctr(["images", "pull", "--snapshotter", "native", "--hosts-dir"]);
        let pulled = pull.args([self.home.join("hosts.d")]).args([reference]).run().await;
        pulled.map(drop).with_context(|| format!("containerd {}", self.name))
    }

    /// Pulls an image, as `user` (`NAME:PASSWORD`) if the registry asks, as CRI does for a snapshotter that fetches layers by itself: which image a
    /// layer is of stands in the snapshot's labels.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn pull_lazily(
        &self,
        reference: &str,
        plugin: &str,
        user: &str,
    ) -> anyhow::Result<()> {
        let pull = self.by(tool("ctr-remote", "stargz-snapshotter"), ["images", "rpull"]);
        let pull = pull
            .args(["--plain-http", "--user", user, "--snapshotter", plugin, reference])
            .run()
            .await;
        pull.map(drop).with_context(|| format!("containerd {}", self.name))
    }

    /// Runs a container of a pulled image to its end; what it printed.
    ///
    /// # Errors
    /// What containerd says, or if the program fails.
    pub async fn run(
        &self,
        reference: &str,
        plugin: &str,
        id: &str,
        program: &[&str],
    ) -> anyhow::Result<Vec<u8>> {
        let run = self.ctr(["run", "--rm", "--snapshotter", plugin, reference, id]);
        run.args(program).run().await
    }

    /// Waits until it reaches a snapshotter that was away.
    ///
    /// # Errors
    /// If it does not within 20 seconds.
    pub async fn until_reaches(&self, plugin: &str) -> anyhow::Result<()> {
        for _ in 0..100 {
            let listed = self.ctr(["snapshots", "--snapshotter", plugin, "ls"]).output().await?;
            if listed.status.success() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("containerd {} does not reach {plugin}", self.name)
    }

    /// Removes an image, and waits until all that was only its own is gone.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn remove(&self, reference: &str) -> anyhow::Result<()> {
        self.ctr(["images", "rm", "--sync", reference]).run().await.map(drop)
    }

    /// Pulls an image and does not unpack it: its layers need not be archives.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn fetch(&self, reference: &str) -> anyhow::Result<()> {
        let fetch = self.ctr(["content", "fetch", "--hosts-dir"]);
        let fetched = fetch.args([self.home.join("hosts.d")]).args([reference]).run().await;
        fetched.map(drop).with_context(|| format!("containerd {}", self.name))
    }

    /// The digests that it says it has: `ctr content ls`.
    ///
    /// # Errors
    /// If it does not tell.
    pub async fn content(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let listed = String::from_utf8(self.ctr(["content", "ls", "--quiet"]).run().await?)?;
        listed.lines().map(|line| Ok(line.trim().parse()?)).collect()
    }

    /// Makes sure that it holds all of `digests`, and that every file of its content store is
    /// what its name says.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub async fn verify(&self, digests: &BTreeSet<Digest>) -> anyhow::Result<()> {
        let content = self.content().await?;
        let lacking: Vec<_> = digests.difference(&content).collect();
        ensure!(lacking.is_empty(), "containerd {} lacks {lacking:?}", self.name);
        let blobs = self.home.join("root/io.containerd.content.v1.content/blobs/sha256");
        for digest in content {
            let file = blobs.join(digest.to_string().trim_start_matches("sha256:"));
            let actual = Digest::of(&std::fs::read(&file)?);
            ensure!(actual == digest, "containerd {} keeps {actual} as {digest}", self.name);
        }
        Ok(())
    }
}

impl Drop for Containerd {
    /// Ends it, and takes down what it may have mounted while it unpacked.
    fn drop(&mut self) {
        let _ = self.process.kill();
        unmount_below(&self.home);
    }
}

/// Takes down what is mounted below a folder.
pub(crate) fn unmount_below(dir: &Path) {
    for mount in mounts_below(dir) {
        let _ = Command::new("umount").arg("--lazy").arg(mount).status();
    }
}

/// What is mounted below a folder, the last first.
pub(crate) fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(dir))
        .collect();
    mounts.reverse();
    mounts
}
