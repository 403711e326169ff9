//! Manifests: a tag is always asked of the registry, in the caller's name; a digest's bytes are
//! kept, and move once.

use content::{Digest, TaskId};
use futures_util::StreamExt;
use peer::Failure;
use peer::origin::{Origin, OriginKind, RegistryOrigin};
use registry::{ManifestAnswer, ManifestMethod, ManifestRequest, Reference};
use wire::request::{Grant, Header, Kind, Manifest, Manifested};

use super::{Answers, Asked};

impl Answers {
    /// Answers a client's GET or HEAD of a manifest, asked by the node `name`.
    pub async fn manifest(&self, name: &str, request_id: &str, ask: Manifest) -> Manifested {
        match self.manifested(name, ask).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::info!(node = %name, request = %request_id, error = %failure, "a manifest is not to be had");
                Manifested { failure: Some(failure.into()), ..Manifested::default() }
            }
        }
    }

    async fn manifested(&self, name: &str, ask: Manifest) -> Result<Manifested, Failure> {
        let asked = Asked::read(ask.place)?;
        let reference = Reference::parse(&ask.reference)
            .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        // What the registry says of a tag is a digest; a digest's bytes are fetched once.
        let request = ManifestRequest {
            method: ManifestMethod::Head,
            accept: ask.accept,
            if_none_match: ask.if_none_match,
        };
        let (digest, answer) = match reference {
            Reference::Digest(digest)
                if self.access.known(&asked.repository, &digest, &asked.caller) =>
            {
                (digest, None)
            }
            _ => {
                let answer = self
                    .access
                    .manifest(&asked.repository, &reference, &request, &asked.caller)
                    .await?;
                (answer.digest, Some(answer))
            }
        };
        if let Some(answer) = &answer
            && (ask.head || answer.status == 304)
        {
            return Ok(self.head(&asked, answer));
        }
        let body = self.body(&asked, digest, request.accept).await?;
        let headers = answer.map(|answer| headers(&answer)).unwrap_or_default();
        Ok(Manifested {
            failure: None,
            status: 200,
            digest: digest.to_string(),
            media_type: body.media_type,
            length: body.bytes.len() as u64,
            grants: self.grants(name, &asked, &body.bytes).await,
            body: (!ask.head).then(|| body.bytes.to_vec()),
            headers,
            fresh_seconds: self.fresh_seconds(&asked, &digest),
        })
    }

    fn fresh_seconds(&self, asked: &Asked, digest: &Digest) -> u64 {
        self.access.fresh_for(&asked.repository, digest, &asked.caller).as_secs()
    }

    fn head(&self, asked: &Asked, answer: &ManifestAnswer) -> Manifested {
        Manifested {
            failure: None,
            status: u32::from(answer.status),
            digest: answer.digest.to_string(),
            media_type: answer.media_type.clone(),
            length: answer.length,
            body: None,
            headers: headers(answer),
            grants: Vec::new(),
            fresh_seconds: self.fresh_seconds(asked, &answer.digest),
        }
    }

    /// The manifest's bytes: from the cache, or once from the registry for all who ask.
    async fn body(
        &self,
        asked: &Asked,
        digest: Digest,
        accept: Vec<String>,
    ) -> Result<Body, Failure> {
        let task = TaskId::Blob(digest);
        let origin = Origin::Registry(RegistryOrigin {
            repository: asked.repository.clone(),
            digest,
            kind: OriginKind::Manifest(accept),
            caller: asked.caller.clone(),
        });
        let live = self.feeds.describe(task, origin).await?;
        let bytes = self.feeds.whole(&live).await.inspect_err(|failure| {
            self.swarm.fail(task, failure);
        })?;
        Ok(Body { media_type: live.stored().media_type(), bytes })
    }

    /// Asks the registry which of the listed blobs the repository holds, a HEAD each, once for the
    /// whole cluster. What is not answered in time is asked again when somebody wants it.
    async fn confirm(&self, asked: &Asked, listed: &[Digest]) {
        let asking =
            futures_util::stream::iter(listed).for_each_concurrent(HEADS, |digest| async move {
                if let Err(error) = self.access.blob(&asked.repository, digest, &asked.caller).await
                {
                    tracing::debug!(%digest, %error, "no grant for a listed blob");
                }
            });
        if tokio::time::timeout(CONFIRM_WITHIN, asking).await.is_err() {
            tracing::debug!("the registry is slow to tell which blobs it holds");
        }
    }

    /// Leave to have the blobs that the manifest lists, as far as the repository is known to hold
    /// them: a pull then goes on if we go away.
    async fn grants(&self, name: &str, asked: &Asked, manifest: &[u8]) -> Vec<Grant> {
        let listed = listed(manifest);
        self.confirm(asked, &listed).await;
        listed
            .into_iter()
            .filter(|digest| self.access.known(&asked.repository, digest, &asked.caller))
            .map(|digest| {
                let task = TaskId::Blob(digest);
                let statements = self
                    .engine
                    .live(&task)
                    .map(|live| live.stored().statements())
                    .unwrap_or_default();
                Grant {
                    ticket: Some(self.swarm.ticket(task, name)),
                    statements: statements.into_iter().map(Into::into).collect(),
                }
            })
            .collect()
    }
}

struct Body {
    media_type: String,
    bytes: bytes::Bytes,
}

fn headers(answer: &ManifestAnswer) -> Vec<Header> {
    answer
        .headers
        .iter()
        .map(|(name, value)| Header { name: name.clone(), value: value.clone() })
        .collect()
}

/// So many blobs are asked for at once.
const HEADS: usize = 8;

/// A manifest waits for its blobs' grants no longer than this.
const CONFIRM_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// So many blobs of one manifest are looked at: images have tens of layers, 127 at most in
/// practice (overlayfs), and a hostile manifest could list millions.
const MAX_LISTED: usize = 256;

/// The digests of the config and the layers that a manifest lists.
fn listed(manifest: &[u8]) -> Vec<Digest> {
    #[derive(serde::Deserialize)]
    struct Descriptor {
        digest: Digest,
    }
    #[derive(serde::Deserialize)]
    struct Listing {
        config: Option<Descriptor>,
        #[serde(default)]
        layers: Vec<Descriptor>,
    }
    let Ok(listing) = serde_json::from_slice::<Listing>(manifest) else {
        return Vec::new(); // an index, or something that lists no blobs
    };
    listing
        .config
        .into_iter()
        .chain(listing.layers)
        .take(MAX_LISTED)
        .map(|descriptor| descriptor.digest)
        .collect()
}
