//! A supernode and one node for benches that are not async themselves.

use std::net::SocketAddr;

use anyhow::Context;
use testbed::{Bed, Node, Site, Spot, Supernode};
use tokio::runtime::Runtime;

/// A running cluster of one node. It logs as in production.
#[derive(Debug)]
pub struct Rig {
    runtime: Runtime,
    supernode: Supernode,
    node: Node,
    bed: Bed,
}

impl Rig {
    /// Starts both at `spot`; they may ask `site`.
    ///
    /// # Errors
    /// If one does not get ready.
    pub fn start(spot: &Spot, site: &Site) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let bed = Bed::new()?.quiet();
        let (supernode, node) = runtime.block_on(async {
            let supernode = bed.supernode_at(spot, site, "").await?;
            let node = bed.node_at(spot, "n1", &supernode, "").await?;
            supernode.until_nodes(1).await?;
            anyhow::Ok((supernode, node))
        })?;
        Ok(Self { runtime, supernode, node, bed })
    }

    /// Starts both anew with empty stores.
    ///
    /// # Errors
    /// If one does not get ready.
    pub fn forget(&mut self) -> anyhow::Result<()> {
        self.node.kill()?;
        self.supernode.kill()?;
        self.node.forget()?;
        self.supernode.forget()?;
        self.runtime.block_on(async {
            self.supernode.start().await?;
            self.node.start().await?;
            self.supernode.until_nodes(1).await
        })
    }

    /// Where the node's mirror listens.
    #[must_use]
    pub const fn mirror(&self) -> SocketAddr {
        self.node.mirror()
    }

    /// The node's process id.
    ///
    /// # Errors
    /// If it does not run.
    pub fn node_id(&mut self) -> anyhow::Result<u32> {
        self.node.process().map(|process| process.id()).context("the node does not run")
    }

    /// The supernode's process id.
    ///
    /// # Errors
    /// If it does not run.
    pub fn supernode_id(&mut self) -> anyhow::Result<u32> {
        self.supernode.process().map(|process| process.id()).context("the supernode does not run")
    }

    /// The scratch folder.
    #[must_use]
    pub const fn bed(&self) -> &Bed {
        &self.bed
    }
}
