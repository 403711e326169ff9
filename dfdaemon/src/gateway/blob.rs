//! A blob, by its digest: granted a short time ago, or else asked for.

use std::sync::Arc;

use bytes::Bytes;
use content::{Digest, TaskId, Unverified};
use peer::{Failure, LiveTask, Source};
use wire::control;
use wire::request::{Asks, Kind, Open, Opened};

use super::{Asked, Gateway};
use crate::link::LinkError;

impl Gateway {
    /// What a blob is, without fetching it: a client's HEAD.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn facts(&self, asked: &Asked, digest: Digest) -> Result<Arc<LiveTask>, Failure> {
        self.opened(asked, digest, true).await
    }

    /// A blob, to be read.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn open(&self, asked: &Asked, digest: Digest) -> Result<Arc<LiveTask>, Failure> {
        self.opened(asked, digest, false).await
    }

    async fn opened(
        &self,
        asked: &Asked,
        digest: Digest,
        only_facts: bool,
    ) -> Result<Arc<LiveTask>, Failure> {
        if let Some(live) = self.granted(asked, digest) {
            return Ok(live);
        }
        let ask = Asks::Open(Open {
            place: Some(asked.place()),
            digest: digest.to_string(),
            priority: control::Priority::Pull.into(),
            only_facts,
        });
        match self.link.ask::<Opened>(&asked.request_id, ask).await {
            Ok(opened) => self.take(asked, digest, opened).await,
            Err(LinkError::Away) => self.alone(asked, digest).await,
            Err(error) => {
                tracing::warn!(request = %asked.request_id, %error, "the supernode did not answer; going on without it");
                self.alone(asked, digest).await
            }
        }
    }

    /// A blob while no supernode answers: what it is, some neighbour may know; else the registry.
    async fn alone(&self, asked: &Asked, digest: Digest) -> Result<Arc<LiveTask>, Failure> {
        let granted = self.grants.is_fresh(asked, digest);
        if granted && self.engine.live(&TaskId::Blob(digest)).is_none() {
            self.search.learn(TaskId::Blob(digest)).await;
        }
        self.search.lone.open(asked, digest, granted).await
    }

    /// A blob that this node knows, if it was granted to this client a short time ago.
    #[must_use]
    pub fn fresh(&self, asked: &Asked, digest: Digest) -> Option<Arc<LiveTask>> {
        let fresh = self.grants.is_fresh(asked, digest);
        fresh.then(|| self.engine.live(&TaskId::Blob(digest)))?
    }

    /// A blob that is here, and was granted to this client a short time ago.
    fn granted(&self, asked: &Asked, digest: Digest) -> Option<Arc<LiveTask>> {
        let live = self.fresh(asked, digest)?;
        if !live.present().is_full() {
            return None;
        }
        // Should a piece prove bad on its way out, it has to come from somewhere.
        self.search.lone.also(live.id(), asked, digest);
        Some(live)
    }

    async fn take(
        &self,
        asked: &Asked,
        digest: Digest,
        opened: Opened,
    ) -> Result<Arc<LiveTask>, Failure> {
        if let Some(failure) = opened.failure {
            return Err(failure.into());
        }
        self.link.attempt(TaskId::Blob(digest), opened.attempt);
        let statements: Vec<_> = opened.statements.into_iter().map(Into::into).collect();
        let live = self.engine.open(&statements)?;
        if live.id() != TaskId::Blob(digest) {
            return Err(Failure::new(Kind::Invalid, "the supernode spoke of another blob"));
        }
        if let Some(bytes) = opened.inline {
            self.keep(&live, bytes.into()).await?;
        }
        if self.search.tickets.keep(opened.ticket, &self.engine.verifier()).is_some() {
            self.remember(asked, digest, opened.fresh_seconds);
        }
        self.search.lone.also(live.id(), asked, digest);
        self.link.introduced(live.id());
        Ok(live)
    }

    /// A blob of one piece that came with the answer: a piece like any other.
    async fn keep(&self, live: &Arc<LiveTask>, bytes: Bytes) -> Result<(), Failure> {
        if live.layout().pieces() == 0 || live.present().is_full() {
            return Ok(());
        }
        let piece = live.book().verify(0, Unverified::new(bytes))?;
        live.put(piece, Source::Supernode)
            .await
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))
    }
}
