//! One question to a registry on somebody's behalf: with the right authorization, as often as it
//! takes.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, LOCATION};
use url::Url;

use crate::auth::{Challenge, Exchange, Identity};
use crate::credential::{Caller, Credential};
use crate::door::Ask;
use crate::error::{Error, Refusal};
use crate::names::Repository;
use crate::registries::Inner;
use crate::reply::Reply;
use crate::retry::Backoff;
use crate::sites::Upstream;

/// Who asks, and which repository is asked about.
pub(crate) struct Call<'a> {
    inner: &'a Inner,
    upstream: Upstream<'a>,
    repository: &'a Repository,
    caller: &'a Caller,
    /// Whether the repository is to be written to.
    pushes: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        inner: &'a Inner,
        repository: &'a Repository,
        caller: &'a Caller,
    ) -> Result<Self, Error> {
        Ok(Self {
            upstream: inner.sites.upstream(repository.registry())?,
            inner,
            repository,
            caller,
            pushes: false,
        })
    }

    /// The same, to write to the repository.
    pub(crate) fn pushing(self) -> Self {
        Self { pushes: true, ..self }
    }

    /// The URL of something in the repository.
    pub(crate) fn url(&self, kind: &str, what: &str) -> Url {
        self.upstream.url(self.repository, kind, what)
    }

    /// Where an upload goes on, as its registry says.
    pub(crate) fn target(&self, reply: &Reply) -> Result<Url, Error> {
        self.upstream.route().target(&self.url("blobs", "uploads"), reply.header(&LOCATION))
    }

    /// Asks until there is an answer with one of the statuses `accepted`, or no hope for one.
    pub(crate) async fn patiently(&self, ask: &Ask, accepted: &[u16]) -> Result<Reply, Error> {
        let mut backoff = Backoff::for_headers(&self.inner.config);
        loop {
            match self.accepted(ask, accepted).await {
                Ok(reply) => return Ok(reply),
                Err(error) => backoff.pause(error).await?,
            }
        }
    }

    /// The same, and reads the whole body, of at most `limit` bytes; `what` is named in the error.
    pub(crate) async fn whole(
        &self,
        ask: &Ask,
        accepted: &[u16],
        what: &'static str,
        limit: u64,
    ) -> Result<(Reply, Bytes), Error> {
        let mut backoff = Backoff::for_headers(&self.inner.config);
        loop {
            let error = match self.accepted(ask, accepted).await {
                Ok(mut reply) => match reply.collect(what, limit).await {
                    Ok(body) => return Ok((reply, body)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            backoff.pause(error).await?;
        }
    }

    /// Asks once; an answer with another status than those `accepted` is an error.
    pub(crate) async fn accepted(&self, ask: &Ask, accepted: &[u16]) -> Result<Reply, Error> {
        let reply = self.once(ask).await?;
        if accepted.contains(&reply.status()) {
            return Ok(reply);
        }
        Err(reply.into_error().await)
    }

    /// Asks once. An answer of any status is an answer; a challenge is met if it can be.
    pub(crate) async fn once(&self, ask: &Ask) -> Result<Reply, Error> {
        match self.caller {
            Caller::Client(Some(credential)) => self.passed_on(ask, credential).await,
            Caller::Client(None) if !self.serves_clients() => {
                self.authorized(ask, Identity::Anonymous).await
            }
            Caller::Client(None) | Caller::Own => self.authorized(ask, self.own_identity()).await,
        }
    }

    /// What meets the registry's last challenge with our own credentials, renewed if it is about to
    /// expire; none if it has not challenged us, or we have none.
    pub(crate) async fn held(&self) -> Result<Option<Credential>, Error> {
        let identity = self.own_identity();
        if identity == Identity::Anonymous {
            return Ok(None);
        }
        let exchange = self.exchange(identity);
        let held = self.inner.tokens.slot(self.repository, identity).current(&exchange).await?;
        let header = held.as_ref().and_then(|held| held.grant.header.to_str().ok());
        Ok(header.and_then(|header| Credential::new(header).ok()))
    }

    fn exchange(&self, identity: Identity) -> Exchange<'_> {
        Exchange {
            upstream: &self.upstream,
            config: &self.inner.config,
            repository: self.repository,
            identity,
        }
    }

    fn serves_clients(&self) -> bool {
        self.upstream.site.config.serve_local_clients
    }

    fn own_identity(&self) -> Identity {
        match self.upstream.site.config.credentials {
            Some(_) if self.pushes => Identity::Pusher,
            Some(_) => Identity::Own,
            None => Identity::Anonymous,
        }
    }

    /// The client's credential, unchanged: what comes of it is between client and registry.
    async fn passed_on(&self, ask: &Ask, credential: &Credential) -> Result<Reply, Error> {
        let ask = with_authorization(ask, credential.header());
        self.upstream.route().fetch(&ask).await
    }

    async fn authorized(&self, ask: &Ask, identity: Identity) -> Result<Reply, Error> {
        let exchange = self.exchange(identity);
        let slot = self.inner.tokens.slot(self.repository, identity);
        let held = slot.current(&exchange).await?;
        let header = held.as_ref().map(|held| held.grant.header.clone());
        let route = self.upstream.route();
        let reply = route.fetch(&with_authorization(ask, header)).await?;
        // A redirect's target is not the registry, and gets nothing to prove who we are.
        if reply.status() != 401 || !reply.is_from_home() {
            return Ok(reply);
        }
        let original = reply.into_refusal().await;
        let challenge = Challenge::best(&original.www_authenticate);
        let met = match &challenge {
            Some(challenge) => slot.meet(challenge, held.as_ref(), &exchange).await?,
            None => None,
        };
        let Some(met) = met else {
            return Err(Error::Refused(Box::new(original)));
        };
        let ask = with_authorization(ask, Some(met.grant.header));
        let reply = route.fetch(&ask).await?;
        Self::unless_denied(reply, original, identity).await
    }

    /// If a token did not help either, the client gets the registry's first word, so that it can
    /// meet the challenge itself. What our own credentials are forbidden is told as it is.
    async fn unless_denied(
        reply: Reply,
        original: Refusal,
        identity: Identity,
    ) -> Result<Reply, Error> {
        let denied = match reply.status() {
            401 => true,
            403 => identity == Identity::Anonymous,
            _ => false,
        };
        if denied && reply.is_from_home() {
            reply.discard().await;
            return Err(Error::Refused(Box::new(original)));
        }
        Ok(reply)
    }
}

fn with_authorization(ask: &Ask, header: Option<HeaderValue>) -> Ask {
    let mut ask = ask.clone();
    if let Some(header) = header {
        ask.private.insert(AUTHORIZATION, header);
    }
    ask
}
