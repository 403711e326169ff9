//! Step 2 of the walk: from a client's question to a task that can be read.
//!
//! The supernode is asked, which checks both facts of access for the whole cluster. What it granted
//! is believed for the time that it named. Without a supernode the node asks the registry itself
//! (`lone`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use content::{Digest, TaskId, Unverified};
use peer::{Engine, Failure, LiveTask, Source};
use registry::{Caller, Page, Reference, Repository};
use wire::control;
use wire::request::{
    Asks, Header, Kind, Manifest, Manifested, Open, OpenUrl, Opened, Paged, Place, Said,
};

use crate::grants::Grants;
use crate::link::{Link, LinkError};
use crate::manifests::Manifests;
use crate::mirror::short::ShortEnds;
use crate::search::Search;

/// Something in a registry, and on whose behalf it is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The repository.
    pub repository: Repository,
    /// The client.
    pub caller: Caller,
    /// The id under which all logs tell of it.
    pub request_id: String,
}

impl Asked {
    fn place(&self) -> Place {
        let authorization = match &self.caller {
            Caller::Client(Some(credential)) => Some(credential.expose().to_owned()),
            Caller::Client(None) | Caller::Own => None,
        };
        Place {
            registry: self.repository.registry().to_owned(),
            repository: self.repository.name().to_owned(),
            authorization,
        }
    }
}

/// A manifest, as the client gets it.
#[derive(Clone, Debug)]
pub struct ManifestReply {
    /// Its digest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its bytes, unless only the head was asked for.
    pub body: Option<Bytes>,
    /// What else the registry said.
    pub headers: Vec<Header>,
}

/// Asks the supernode, or without one the registry.
#[derive(Debug)]
pub struct Gateway {
    engine: Engine,
    link: Link,
    search: Search,
    /// What is believed without asking again.
    grants: Grants,
    manifests: Manifests,
    short_ends: ShortEnds,
}

impl Gateway {
    /// A gateway to `link`'s supernode, with `search` for the time without one.
    #[must_use]
    pub fn new(link: Link, search: Search) -> Self {
        Self {
            engine: search.engine.clone(),
            link,
            search,
            grants: Grants::default(),
            manifests: Manifests::default(),
            short_ends: ShortEnds::default(),
        }
    }

    /// The engine that tasks are read from.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The answers that ended short lately.
    pub(crate) const fn short_ends(&self) -> &ShortEnds {
        &self.short_ends
    }

    /// Whether an answer about a blob ended short so lately that a client had better take the
    /// blob, or the rest of it, elsewhere. Not once the whole is here and proven.
    #[must_use]
    pub fn ended_short(&self, digest: Digest, resumes: bool) -> bool {
        let task = TaskId::Blob(digest);
        let whole = || self.engine.live(&task).is_some_and(|live| live.is_whole());
        self.short_ends.forbid(&task, resumes) && !whole()
    }

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

    /// A URL, for `dfget`: only a supernode can name it, so without one there is nothing to share.
    ///
    /// # Errors
    /// Why it cannot be had through the swarm.
    pub async fn open_url(
        &self,
        request_id: &str,
        url: &str,
        digest: Option<Digest>,
    ) -> Result<Arc<LiveTask>, Failure> {
        let ask = Asks::OpenUrl(OpenUrl {
            url: url.to_owned(),
            digest: digest.map(|digest| digest.to_string()),
        });
        let opened = self
            .link
            .ask::<Opened>(request_id, ask)
            .await
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        if let Some(failure) = opened.failure {
            return Err(failure.into());
        }
        let statements: Vec<_> = opened.statements.into_iter().map(Into::into).collect();
        let live = self.engine.open(&statements)?;
        self.search.tickets.keep(opened.ticket, &self.engine.verifier());
        self.link.attempt(live.id(), opened.attempt);
        self.engine.hash(&live, digest);
        self.link.introduced(live.id());
        Ok(live)
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

    fn remember(&self, asked: &Asked, digest: Digest, fresh_seconds: u64) {
        self.grants.remember(asked, digest, Duration::from_secs(fresh_seconds));
    }

    /// A manifest that this node keeps, if it was granted to this client a short time ago.
    #[must_use]
    pub fn fresh_manifest(&self, asked: &Asked, digest: &Digest) -> Option<ManifestReply> {
        let fresh = self.grants.is_fresh(asked, *digest);
        let kept = fresh.then(|| self.manifests.get(digest))??;
        Some(ManifestReply {
            digest: digest.to_string(),
            media_type: kept.media_type,
            length: kept.body.len() as u64,
            body: Some(kept.body),
            headers: Vec::new(),
        })
    }

    /// Keeps what a client was given, and that it may have it again for a while.
    fn keep_manifest(&self, asked: &Asked, reply: &ManifestReply, fresh_for: Duration) {
        if let (Ok(digest), Some(body)) = (reply.digest.parse(), &reply.body) {
            self.manifests.keep(digest, &reply.media_type, body);
            self.grants.remember(asked, digest, fresh_for);
        }
    }

    /// A manifest, by tag or digest.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn manifest(
        &self,
        asked: &Asked,
        reference: Reference,
        head: bool,
        accept: Vec<String>,
    ) -> Result<ManifestReply, Failure> {
        let ask = Asks::Manifest(Manifest {
            place: Some(asked.place()),
            reference: reference.to_string(),
            accept: accept.clone(),
            if_none_match: None,
            head,
        });
        match self.link.ask::<Manifested>(&asked.request_id, ask).await {
            Ok(told) => self.manifested(asked, &reference, told),
            Err(error) => {
                tracing::debug!(request = %asked.request_id, %error, "asking the registry itself for a manifest");
                let reply = self.search.lone.manifest(asked, &reference, head, accept).await?;
                self.keep_manifest(asked, &reply, self.search.lone.readable_for());
                Ok(reply)
            }
        }
    }

    fn manifested(
        &self,
        asked: &Asked,
        reference: &Reference,
        told: Manifested,
    ) -> Result<ManifestReply, Failure> {
        if let Some(failure) = told.failure {
            return Err(failure.into());
        }
        let digest: Digest = told
            .digest
            .parse()
            .map_err(|_| Failure::new(Kind::Invalid, "the supernode told no digest"))?;
        if let Some(body) = &told.body {
            // Bytes reach the client only after their digest was checked here.
            let actual = Digest::of(body);
            let asked_for = match reference {
                Reference::Digest(asked_for) => *asked_for,
                Reference::Tag(_) => digest,
            };
            if actual != digest || actual != asked_for {
                let expected = asked_for;
                return Err(content::Mismatch::Whole { expected, actual }.into());
            }
        }
        self.take_grants(asked, told.grants, told.fresh_seconds);
        let reply = ManifestReply {
            digest: told.digest,
            media_type: told.media_type,
            length: told.length,
            body: told.body.map(Bytes::from),
            headers: told.headers,
        };
        self.keep_manifest(asked, &reply, Duration::from_secs(told.fresh_seconds));
        Ok(reply)
    }

    /// Keeps leave to have the blobs that a manifest lists, with what is known of them, so that the
    /// pull survives the supernode.
    fn take_grants(&self, asked: &Asked, grants: Vec<wire::request::Grant>, fresh_seconds: u64) {
        for grant in grants {
            let granted = self.search.tickets.keep(grant.ticket, &self.engine.verifier());
            let Some((task, digest)) = granted.and_then(|task| Some((task, task.digest()?))) else {
                continue;
            };
            let statements: Vec<_> = grant.statements.into_iter().map(Into::into).collect();
            if !statements.is_empty()
                && let Err(error) = self.engine.open(&statements)
            {
                tracing::debug!(%digest, %error, "what was told of a listed blob is of no use");
            }
            self.remember(asked, digest, fresh_seconds);
            self.search.lone.also(task, asked, digest);
        }
    }

    /// A page of tags or referrers.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn page(&self, asked: &Asked, page: Page) -> Result<Said, Failure> {
        let mut ask =
            wire::request::Page { place: Some(asked.place()), ..wire::request::Page::default() };
        match &page {
            Page::Tags { n, last, more } => {
                ask.n = *n;
                ask.last.clone_from(last);
                ask.more.clone_from(more);
            }
            Page::Referrers { digest, artifact_type, more } => {
                ask.referrers_of = Some(digest.to_string());
                ask.artifact_type.clone_from(artifact_type);
                ask.more.clone_from(more);
            }
        }
        match self.link.ask::<Paged>(&asked.request_id, Asks::Page(ask)).await {
            Ok(Paged { failure: Some(failure), .. }) => Err(failure.into()),
            Ok(told) => {
                told.said.ok_or_else(|| Failure::new(Kind::Invalid, "the supernode said nothing"))
            }
            Err(_) => self.search.lone.page(asked, &page).await,
        }
    }
}
