//! Blobs: whether a repository holds one, and its bytes from any offset on.

use std::fmt;

use bytes::Bytes;
use content::Digest;
use http::Method;

use crate::call::Call;
use crate::content_range::ContentRange;
use crate::credential::Caller;
use crate::door::Ask;
use crate::error::Error;
use crate::names::Repository;
use crate::registries::Registries;
use crate::reply::Reply;
use crate::resume::{Origin, Resume, ask_for};
use crate::retry::Backoff;
use crate::span::Span;

/// What a registry says of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its length.
    pub length: u64,
}

/// Under which path an object's bytes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A layer or a config.
    Blob,
    /// A manifest, read as bytes.
    Manifest,
}

impl ObjectKind {
    const fn path(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Manifest => "manifests",
        }
    }
}

/// A blob's bytes as they arrive. Cut connections are resumed at the byte, tokens renewed.
///
/// The bytes are what the registry sent: nothing in here checks them against the digest.
pub struct BlobStream {
    /// The length of the whole blob.
    pub total: u64,
    bytes: Resume<BlobOrigin>,
}

impl BlobStream {
    /// The next bytes; none at the end, and after an error. Dropping the future loses no bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.bytes.next().await
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("repository", &self.bytes.origin.repository)
            .field("digest", &self.bytes.origin.digest)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// Asks whether the repository holds the blob, and how long it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the registry's own words (404 if it does not hold it), and all that
    /// can befall a connection.
    pub async fn blob_head(
        &self,
        repository: &Repository,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<BlobInfo, Error> {
        let call = self.call(repository, caller)?;
        let length = length(&call, ObjectKind::Blob, digest).await?;
        Ok(BlobInfo { length })
    }

    /// Opens the bytes `span` of a blob: `100..`, `0..4096`, or [`Span::ALL`]. An end beyond the
    /// blob's is fine.
    ///
    /// # Errors
    /// [`Error::Refused`] with the registry's own words, [`Error::OutOfRange`] for a span that
    /// holds no byte, and all that can befall a connection.
    pub async fn open_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        span: impl Into<Span>,
        caller: &Caller,
    ) -> Result<BlobStream, Error> {
        let kind = ObjectKind::Blob;
        self.open_object(repository, kind, digest, span, caller).await
    }

    /// Opens a blob, or a manifest as if it were one.
    ///
    /// # Errors
    /// As [`Registries::open_blob`].
    pub async fn open_object(
        &self,
        repository: &Repository,
        kind: ObjectKind,
        digest: &Digest,
        span: impl Into<Span>,
        caller: &Caller,
    ) -> Result<BlobStream, Error> {
        let origin = BlobOrigin {
            registries: self.clone(),
            repository: repository.clone(),
            kind,
            digest: *digest,
            caller: caller.clone(),
        };
        let config = &self.inner.config;
        let (first, later) = (Backoff::for_headers(config), Backoff::for_body(config));
        let mut bytes = Resume::open(origin, span.into(), first, later).await?;
        let total = match bytes.total {
            Some(total) => total,
            None => length(&self.call(repository, caller)?, kind, digest).await?,
        };
        bytes.learn_total(total)?;
        Ok(BlobStream { total, bytes })
    }
}

struct BlobOrigin {
    registries: Registries,
    repository: Repository,
    kind: ObjectKind,
    digest: Digest,
    caller: Caller,
}

impl Origin for BlobOrigin {
    async fn open(&self, span: Span) -> Result<Reply, Error> {
        let call = self.registries.call(&self.repository, &self.caller)?;
        let url = call.url(self.kind.path(), &self.digest.to_string());
        let mut ask = Ask::new(Method::GET, url);
        ask_for(&mut ask, span);
        call.once(&ask).await
    }
}

async fn length(call: &Call<'_>, kind: ObjectKind, digest: &Digest) -> Result<u64, Error> {
    let url = call.url(kind.path(), &digest.to_string());
    let ask = Ask::new(Method::HEAD, url.clone());
    let reply = call.patiently(&ask, &[200, 403, 405]).await?;
    match (reply.status(), reply.content_length()) {
        (200, Some(length)) => return Ok(length),
        (403 | 405, _) if reply.is_from_home() => return Err(reply.into_error().await),
        // The registry has agreed, but the storage that it sent us to knows no HEAD, or its
        // signed URL is for GET only; or nobody told the length.
        _ => {}
    }
    let mut ask = Ask::new(Method::GET, url);
    ask_for(&mut ask, Span::from(0..1));
    let reply = call.patiently(&ask, &[200, 206, 416]).await?;
    let total = match (reply.status(), reply.content_range()) {
        (200, _) => reply.content_length(),
        (206, Some(ContentRange::Part { total, .. }))
        | (416, Some(ContentRange::Unsatisfied { total })) => total,
        _ => None,
    };
    total.ok_or_else(|| reply.protocol("the length is nowhere told"))
}
