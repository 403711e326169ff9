//! What a hostile node asks of others, and what comes of it.

use std::time::Duration;

use anyhow::Context;
use transport::{Connection, Expect};
use wire::SignedTicket;
use wire::data::{Describe, Description, Fetch, PieceHeader, Verdict};
use wire::request::Asks;

use super::{Hostile, PATIENCE, ask};
use crate::cluster::Node;

/// What came of asking somebody for pieces.
#[derive(Debug)]
pub struct Got {
    /// What the first header said.
    pub verdict: Verdict,
    /// How many bytes came after it.
    pub payload: usize,
}

impl Hostile {
    /// Asks `node` for the first piece of a task.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn fetch(
        &self,
        node: &Node,
        task: &str,
        ticket: Option<SignedTicket>,
    ) -> anyhow::Result<Got> {
        let connection = self.connect(node).await?;
        self.fetch_from(&connection, task, ticket).await
    }

    /// Asks the supernode's cache for the first piece of a task.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn fetch_cache(
        &self,
        task: &str,
        ticket: Option<SignedTicket>,
    ) -> anyhow::Result<Got> {
        self.fetch_from(&self.supernode, task, ticket).await
    }

    async fn fetch_from(
        &self,
        connection: &Connection,
        task: &str,
        ticket: Option<SignedTicket>,
    ) -> anyhow::Result<Got> {
        let request = ask(Asks::Fetch(Fetch {
            task: task.to_owned(),
            first: 0,
            end: 1,
            ticket,
            priority: 1,
        }));
        let mut stream = connection.open_bulk(&request).await?;
        let header = tokio::time::timeout(PATIENCE, stream.recv::<PieceHeader>()).await??;
        let header = header.context("no header")?;
        let mut payload = 0;
        // What comes beyond the header comes at once, or not at all.
        let more = Duration::from_millis(300);
        while let Ok(Ok(Some(bytes))) = tokio::time::timeout(more, stream.recv_bytes(1 << 20)).await
        {
            payload += bytes.len();
        }
        Ok(Got { verdict: header.verdict(), payload })
    }

    /// Asks `node` what it knows of a task.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn describe(
        &self,
        node: &Node,
        task: &str,
        ticket: Option<SignedTicket>,
    ) -> anyhow::Result<Description> {
        let request =
            ask(Asks::Describe(Describe { task: task.to_owned(), ticket, ..Describe::default() }));
        let mut stream = self.connect(node).await?.open(&request).await?;
        stream.finish();
        let answer = tokio::time::timeout(PATIENCE, stream.recv::<Description>()).await??;
        answer.context("no description")
    }

    async fn connect(&self, node: &Node) -> anyhow::Result<Connection> {
        let expect = Expect::Node(node.name().to_owned());
        Ok(self.endpoint.connect(&node.peers().to_string(), expect).await?)
    }
}
