//! A manifest, and leave to have the blobs that it lists.

use std::time::Duration;

use bytes::Bytes;
use content::Digest;
use peer::Failure;
use registry::Reference;
use wire::request::{Asks, Grant, Header, Kind, Manifest, Manifested};

use super::{Asked, Gateway};

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

impl Gateway {
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
        // Bytes reach the client only after their digest was checked here.
        let actual = told.body.as_deref().map_or(digest, Digest::of);
        let expected = match reference {
            Reference::Digest(asked_for) => *asked_for,
            Reference::Tag(_) => digest,
        };
        if actual != expected || digest != expected {
            return Err(content::Mismatch::Whole { expected, actual }.into());
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
    fn take_grants(&self, asked: &Asked, grants: Vec<Grant>, fresh_seconds: u64) {
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
}
