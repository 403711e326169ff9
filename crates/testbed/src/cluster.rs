//! A supernode and nodes, as processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use content::Digest;
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::ports;
use crate::process::{Process, binary};
use crate::registry::Builder;
use crate::spot::Spot;
use crate::web::{self, Answer};

/// A scratch folder in which everything of a test lives.
#[derive(Debug)]
pub struct Bed {
    dir: TempDir,
    log_level: &'static str,
}

/// A registry, as a configuration names it.
#[derive(Clone, Debug)]
pub struct Site(String);

impl Site {
    /// The registry `host`, at a plain-HTTP address.
    #[must_use]
    pub fn http(host: &str, address: SocketAddr) -> Self {
        Self(format!(
            "[[registries.registry]]\nhost = \"{host}\"\nendpoint = \"http://{address}\"\nhttp = true\n"
        ))
    }

    /// This registry and another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(format!("{}{}", self.0, other.0))
    }
}

impl Bed {
    /// A fresh folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("meganeura-").tempdir()?;
        Ok(Self { dir, log_level: "debug,sled=warn" })
    }

    /// Processes log as they do in production, for benches.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.log_level = "info";
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A registry to be started.
    #[must_use]
    pub fn registry(&self) -> Builder {
        Builder::new(self.path())
    }

    /// Starts a supernode that may ask `site`.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn supernode(&self, site: &Site) -> anyhow::Result<Supernode> {
        self.supernode_with(site, "").await
    }

    /// Starts a supernode that may ask `site`, with more configuration: dotted keys, a line each.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn supernode_with(&self, site: &Site, more: &str) -> anyhow::Result<Supernode> {
        self.supernode_at(&Spot::loopback(), site, more).await
    }

    /// [`Self::supernode_with`], somewhere else than on loopback.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn supernode_at(
        &self,
        spot: &Spot,
        site: &Site,
        more: &str,
    ) -> anyhow::Result<Supernode> {
        let (http, nodes) = (ports::free(), ports::free());
        let dir = self.path().join("supernode");
        std::fs::create_dir_all(&dir)?;
        let config = format!(
            "state_dir = \"{dir}/state\"\nhttp.listen = \"{http}\"\n\
             nodes.listen = \"{nodes}\"\nlog.level = \"{level}\"\n{more}\n{site}",
            dir = dir.display(),
            http = spot.address(http),
            nodes = spot.address(nodes),
            level = self.log_level,
            site = site.0,
        );
        let file = dir.join("supernode.toml");
        std::fs::write(&file, config)?;
        let mut supernode = Supernode {
            process: None,
            spot: spot.clone(),
            http: spot.address(http),
            nodes: spot.address(nodes),
            dir,
            file,
            site: site.clone(),
            join: String::new(),
        };
        supernode.join = supernode.join_string()?;
        supernode.start().await?;
        Ok(supernode)
    }

    /// Starts a node of `supernode`'s cluster.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn node(&self, name: &str, supernode: &Supernode) -> anyhow::Result<Node> {
        self.node_with(name, supernode, "").await
    }

    /// Starts a node with more configuration: dotted keys, a line each.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn node_with(
        &self,
        name: &str,
        supernode: &Supernode,
        more: &str,
    ) -> anyhow::Result<Node> {
        self.node_at(&Spot::loopback(), name, supernode, more).await
    }

    /// [`Self::node_with`], somewhere else than on loopback.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn node_at(
        &self,
        spot: &Spot,
        name: &str,
        supernode: &Supernode,
        more: &str,
    ) -> anyhow::Result<Node> {
        let (mirror, peers, admin) = (ports::free(), ports::free(), ports::free());
        let dir = self.path().join(name);
        std::fs::create_dir_all(&dir)?;
        let config = format!(
            "state_dir = \"{dir}/state\"\nnode = \"{name}\"\nmirror.listen = \"{mirror}\"\n\
             peers.listen = \"{peers}\"\nadmin.listen = \"{admin}\"\n\
             local.socket = \"{dir}/dfdaemon.sock\"\nsupernode.join = \"{join}\"\n\
             log.level = \"{level}\"\n{more}\n{site}",
            dir = dir.display(),
            mirror = spot.address(mirror),
            peers = spot.address(peers),
            admin = spot.address(admin),
            level = self.log_level,
            join = supernode.join,
            site = supernode.site.0,
        );
        let file = dir.join("dfdaemon.toml");
        std::fs::write(&file, config)?;
        let mut node = Node {
            name: name.to_owned(),
            process: None,
            spot: spot.clone(),
            mirror: spot.address(mirror),
            peers: spot.address(peers),
            admin: spot.address(admin),
            dir,
            file,
        };
        node.start().await?;
        Ok(node)
    }
}

/// A running supernode.
#[derive(Debug)]
pub struct Supernode {
    process: Option<Process>,
    spot: Spot,
    http: SocketAddr,
    nodes: SocketAddr,
    dir: PathBuf,
    file: PathBuf,
    site: Site,
    join: String,
}

impl Supernode {
    fn join_string(&self) -> anyhow::Result<String> {
        let mut command = Command::new(binary("supernode")?);
        let out = command.arg("join-string").arg("--config").arg(&self.file).output()?;
        ensure!(out.status.success(), "join-string: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }

    /// Starts it, again after a kill.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.spot.command(&binary("supernode")?);
        command.arg("--config").arg(&self.file);
        let process = Process::start("supernode", &self.dir, &mut command)?;
        self.process = Some(process);
        ready(self.http, &mut self.process).await
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Forgets all it had on disk but the cluster's identity. To be called while it is stopped.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn forget(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.join("state/store"))?)
    }

    /// The process, if it runs.
    pub const fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Where its HTTP API listens.
    #[must_use]
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where nodes come in.
    #[must_use]
    pub const fn nodes(&self) -> SocketAddr {
        self.nodes
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("supernode.log")).unwrap_or_default()
    }

    /// The join string.
    #[must_use]
    pub fn join(&self) -> &str {
        &self.join
    }

    /// Waits until so many nodes are connected and have told what they hold.
    ///
    /// # Errors
    /// If they are not within 20 seconds.
    pub async fn until_nodes(&self, count: u64) -> anyhow::Result<()> {
        for _ in 0..800 {
            if self.metric("meganeura_supernode_nodes_ready").await? == count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("{count} nodes do not come:\n{}", self.log())
    }

    /// The value of a metric, labels included in its name.
    ///
    /// # Errors
    /// If it has no such metric.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        metric(self.http, name).await
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    name: String,
    process: Option<Process>,
    spot: Spot,
    mirror: SocketAddr,
    peers: SocketAddr,
    admin: SocketAddr,
    dir: PathBuf,
    file: PathBuf,
}

impl Node {
    /// Starts it, again after a kill.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        ready(self.admin, &mut self.process).await
    }

    /// Starts it, and waits only until it shows how it is: where it will not be ready.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn launch_unready(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        for _ in 0..400 {
            if web::get(self.admin, "/readyz", &[]).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("it does not show how it is:\n{}", self.log())
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = self.spot.command(&binary("dfdaemon")?);
        command.arg("--config").arg(&self.file);
        self.process = Some(Process::start(&self.name, &self.dir, &mut command)?);
        Ok(())
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Forgets all pieces that it had on disk. To be called while it is stopped.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn forget(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.join("state/store"))?)
    }

    /// The process, if it runs.
    pub const fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the mirror listens.
    #[must_use]
    pub const fn mirror(&self) -> SocketAddr {
        self.mirror
    }

    /// Where other nodes reach it.
    #[must_use]
    pub const fn peers(&self) -> SocketAddr {
        self.peers
    }

    /// Where its health and metrics are.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The unix socket for programs of this machine.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("dfdaemon.sock")
    }

    /// Its folder: configuration, state, log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command of its program, with its configuration: `cache ls`, say.
    ///
    /// # Errors
    /// If the program was not built.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("dfdaemon")?);
        command.args(args).arg("--config").arg(&self.file);
        Ok(command)
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join(format!("{}.log", self.name))).unwrap_or_default()
    }

    /// GETs a path of the mirror.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn get(&self, target: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        web::get(self.mirror, target, headers).await
    }

    /// GETs a blob as containerd does.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn blob(
        &self,
        registry: &str,
        repository: &str,
        digest: Digest,
    ) -> anyhow::Result<Answer> {
        self.get(&format!("/v2/{repository}/blobs/{digest}?ns={registry}"), &[]).await
    }

    /// Pulls an image as containerd does: the tag's HEAD, the manifest by digest, config and layers
    /// at once. Returns the layers, their digests checked.
    ///
    /// # Errors
    /// If anything is not to be had, or is not what its digest says.
    pub async fn pull(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
    ) -> anyhow::Result<Vec<Bytes>> {
        self.pull_as(registry, repository, tag, &[]).await
    }

    /// [`Self::pull`], with headers.
    ///
    /// # Errors
    /// If anything is not to be had, or is not what its digest says.
    pub async fn pull_as(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Vec<Bytes>> {
        let base = format!("/v2/{repository}");
        let target = format!("{base}/manifests/{tag}?ns={registry}");
        let head =
            web::send(self.mirror, http::Method::HEAD, &target, headers, Bytes::new()).await?;
        ensure!(head.status == 200, "HEAD {target}: {}", head.status);
        let digest = head.header("docker-content-digest").context("no digest")?.to_owned();
        let manifest = self
            .checked(&format!("{base}/manifests/{digest}?ns={registry}"), &digest, headers)
            .await?;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        let digest_of = |entry: &serde_json::Value| {
            entry["digest"].as_str().map(ToOwned::to_owned).context("a descriptor without digest")
        };
        let target = |digest: &str| format!("{base}/blobs/{digest}?ns={registry}");
        let config = digest_of(&manifest["config"])?;
        self.checked(&target(&config), &config, headers).await?;
        let listed = manifest["layers"].as_array().context("no layers")?;
        let digests = listed.iter().map(digest_of).collect::<anyhow::Result<Vec<_>>>()?;
        let mut layers = Vec::new();
        // Three at a time, as containerd has it.
        for group in digests.chunks(3) {
            let targets: Vec<_> = group.iter().map(|digest| (target(digest), digest)).collect();
            let fetched =
                targets.iter().map(|(target, digest)| self.checked(target, digest, headers));
            for layer in join_all(fetched).await {
                layers.push(layer?);
            }
        }
        Ok(layers)
    }

    async fn checked(
        &self,
        target: &str,
        digest: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Bytes> {
        let answer = self.get(target, headers).await?;
        ensure!(answer.status == 200, "GET {target}: {} {}", answer.status, answer.text());
        ensure!(answer.complete, "GET {target} ended short after {} bytes", answer.body.len());
        ensure!(Digest::of(&answer.body).to_string() == digest, "GET {target}: wrong bytes");
        Ok(answer.body)
    }

    /// The bytes that it received from `source`: origin, supernode, peer or store.
    ///
    /// # Errors
    /// If it does not tell.
    pub async fn received(&self, source: &str) -> anyhow::Result<u64> {
        self.metric(&format!("meganeura_dfdaemon_received_bytes_total{{source=\"{source}\"}}"))
            .await
    }

    /// The value of a metric, labels included in its name.
    ///
    /// # Errors
    /// If it has no such metric.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        metric(self.admin, name).await
    }
}

async fn metric(address: SocketAddr, name: &str) -> anyhow::Result<u64> {
    let text = web::get(address, "/metrics", &[]).await?.text();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))
        .with_context(|| format!("no metric {name} in:\n{text}"))?;
    let value = line.rsplit(' ').next().context("a value")?;
    Ok(value.parse()?)
}

async fn ready(address: SocketAddr, process: &mut Option<Process>) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Ok(answer) = web::get(address, "/readyz", &[]).await
            && answer.status == 200
        {
            return Ok(());
        }
        if let Some(process) = process
            && !process.is_running()
        {
            bail!("it ended at once:\n{}", process.log());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let log = process.as_ref().map(Process::log).unwrap_or_default();
    bail!("not ready after 20 s:\n{log}")
}
