//! A supernode, as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, ensure};

use super::shown::{metric, ready};
use super::{Bed, Site};
use crate::ports;
use crate::process::{Process, binary};
use crate::spot::Spot;

impl Bed {
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
    pub(super) site: Site,
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
