//! A node, as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use super::shown::{metric, ready};
use super::{Bed, Supernode};
use crate::ports;
use crate::process::{Process, binary};
use crate::spot::Spot;
use crate::web;

impl Bed {
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
            join = supernode.join(),
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
