//! What the tests of clients have in common: a registry under a name that leads nowhere, a
//! supernode, a node, and a client that writes its requests by hand.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use testbed::web::{self, Answer};
use testbed::{Bed, Node, Site, Supernode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The registry's name in references. No name server knows it, so whatever is pulled by it came
/// through the mirror.
pub(crate) const REGISTRY: &str = "registry.test";

/// The repository of all images here.
pub(crate) const APP: &str = "library/app";

/// A supernode and a node. The folder goes last.
pub(crate) struct Rig {
    pub(crate) node: Node,
    pub(crate) supernode: Supernode,
    pub(crate) bed: Bed,
}

impl Rig {
    /// A cluster that finds [`REGISTRY`] at `origin`.
    pub(crate) async fn new(origin: SocketAddr) -> anyhow::Result<Self> {
        Self::of(Bed::new()?, &Site::http(REGISTRY, origin), "").await
    }

    /// A cluster that may ask `site`; `more` is the node's further configuration.
    pub(crate) async fn of(bed: Bed, site: &Site, more: &str) -> anyhow::Result<Self> {
        let supernode = bed.supernode(site).await?;
        let node = bed.node_with("n1", &supernode, more).await?;
        Ok(Self { node, supernode, bed })
    }

    /// GETs as containerd does: the registry's name comes as `ns`.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send(http::Method::GET, path, headers).await
    }

    /// Sends a request as containerd does.
    pub(crate) async fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{mark}ns={REGISTRY}");
        web::send(self.node.mirror(), method, &target, headers, bytes::Bytes::new()).await
    }

    /// The mirror's URL.
    pub(crate) fn mirror(&self) -> String {
        format!("http://{}", self.node.mirror())
    }
}

/// A path of the registry API in [`APP`].
pub(crate) fn path(kind: &str, what: impl std::fmt::Display) -> String {
    format!("/v2/{APP}/{kind}/{what}")
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: all that was sent has arrived.
    Fin,
    /// By a reset.
    Reset,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The status line and the headers.
    pub(crate) head: String,
    /// What came of the body.
    pub(crate) body: Vec<u8>,
    /// How the connection ended.
    pub(crate) end: End,
}

impl Wire {
    /// The status.
    pub(crate) fn status(&self) -> Option<u16> {
        self.head.split(' ').nth(1)?.parse().ok()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (told, value) = line.split_once(':')?;
            told.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Writes `request` byte for byte and reads until the connection ends.
pub(crate) async fn over_the_wire(mirror: SocketAddr, request: &str) -> anyhow::Result<Wire> {
    let mut stream = TcpStream::connect(mirror).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut all));
    let end = match read.await.context("the connection does not end")? {
        Ok(_) => End::Fin,
        Err(_) => End::Reset,
    };
    let parts = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..parts]).into_owned();
    let body = all.get(parts + 4..).unwrap_or_default().to_vec();
    Ok(Wire { head, body, end })
}
