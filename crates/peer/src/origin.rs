//! A task's bytes from its origin, piece by piece.
//!
//! Step 6 of the walk.

use bytes::{Buf, Bytes, BytesMut};
use content::{Digest, Unverified};
use registry::{
    BlobStream, Caller, ManifestMethod, ManifestRequest, Reference, Registries, Repository,
    UrlStream,
};
use url::Url;
use wire::request::Kind;

use crate::access::CallerId;
use crate::failure::Failure;

/// Where a task comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A registry, asked in somebody's name.
    Registry(RegistryOrigin),
    /// A URL, in the state that was first seen.
    Url {
        /// The URL.
        url: Url,
        /// The entity tag that it had.
        etag: Option<String>,
    },
}

/// Where a task can be had from its registry, and as whom.
#[derive(Clone, Debug)]
pub struct RegistryOrigin {
    /// The repository.
    pub repository: Repository,
    /// The digest of what is asked for.
    pub digest: Digest,
    /// Under which of the registry's endpoints it lies.
    pub kind: OriginKind,
    /// Who asks.
    pub caller: Caller,
}

impl Origin {
    /// In whose name it is asked.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        match self {
            Self::Registry(origin) => &origin.caller,
            Self::Url { .. } => &Caller::Client(None),
        }
    }

    /// The registry, or the URL's server.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Registry(origin) => origin.repository.registry(),
            Self::Url { url, .. } => url.host_str().unwrap_or_default(),
        }
    }

    /// Whether it is the same place, asked in the same name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(a), Self::Registry(b)) => {
                a.repository == b.repository && CallerId::of(&a.caller) == CallerId::of(&b.caller)
            }
            (Self::Url { url: a, .. }, Self::Url { url: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Under which of a registry's endpoints a digest lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// `/blobs/`.
    Blob,
    /// `/manifests/`, with the media types that the asker takes.
    Manifest(Vec<String>),
}

/// An open answer of the registry, read from some byte on.
#[derive(Debug)]
pub struct OriginStream {
    body: Body,
    pending: BytesMut,
    total: u64,
    at: u64,
    media_type: String,
}

#[derive(Debug)]
enum Body {
    Blob(Box<BlobStream>),
    Url(Box<UrlStream>),
    Manifest(Bytes),
}

impl Body {
    async fn next(&mut self) -> Option<Result<Bytes, registry::Error>> {
        match self {
            Self::Blob(stream) => stream.next().await,
            Self::Url(stream) => stream.next().await,
            Self::Manifest(rest) if rest.is_empty() => None,
            Self::Manifest(rest) => Some(Ok(rest.split_off(0))),
        }
    }
}

impl OriginStream {
    /// Asks the origin for the task's bytes from `start` on.
    ///
    /// # Errors
    /// What the origin said, or why it cannot be asked.
    pub async fn open(
        registries: &Registries,
        origin: &Origin,
        start: u64,
    ) -> Result<Self, Failure> {
        match origin {
            Origin::Registry(origin) => match &origin.kind {
                OriginKind::Blob => Self::blob(registries, origin, start).await,
                OriginKind::Manifest(accept) => {
                    Self::manifest(registries, origin, accept.clone(), start).await
                }
            },
            Origin::Url { url, etag } => {
                let stream = registries.open_url(url, start.., &[]).await?;
                if stream.etag != *etag {
                    let changed = "the file changed at its origin while it was fetched";
                    return Err(Failure::new(Kind::Origin, changed));
                }
                Self::url(stream, start)
            }
        }
    }

    async fn blob(
        registries: &Registries,
        origin: &RegistryOrigin,
        start: u64,
    ) -> Result<Self, Failure> {
        let RegistryOrigin { repository, digest, caller, .. } = origin;
        let stream = registries.open_blob(repository, digest, start.., caller).await?;
        let total = stream.total;
        Ok(Self::new(Body::Blob(Box::new(stream)), total, start, String::new()))
    }

    async fn manifest(
        registries: &Registries,
        origin: &RegistryOrigin,
        accept: Vec<String>,
        start: u64,
    ) -> Result<Self, Failure> {
        let request = ManifestRequest { method: ManifestMethod::Get, accept, if_none_match: None };
        let reference = Reference::Digest(origin.digest);
        let answer =
            registries.manifest(&origin.repository, &reference, &request, &origin.caller).await?;
        let mut body = answer.body.unwrap_or_default();
        let total = body.len() as u64;
        body.advance(usize::try_from(start).unwrap_or(usize::MAX).min(body.len()));
        Ok(Self::new(Body::Manifest(body), total, start, answer.media_type))
    }

    /// The open answer of a URL, read from `start` on.
    ///
    /// # Errors
    /// If the server does not say how long the file is: it cannot be cut into pieces.
    pub fn url(stream: UrlStream, start: u64) -> Result<Self, Failure> {
        let unknown = || Failure::new(Kind::Origin, "the server does not say how long the file is");
        let total = stream.total.ok_or_else(unknown)?;
        let media_type = stream.content_type.clone().unwrap_or_default();
        Ok(Self::new(Body::Url(Box::new(stream)), total, start, media_type))
    }

    fn new(body: Body, total: u64, at: u64, media_type: String) -> Self {
        Self { body, pending: BytesMut::new(), total, at, media_type }
    }

    /// The task's length in bytes, as the registry says.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The offset of the byte that comes next.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The media type, where the registry's word for it counts: of a manifest.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The next `length` bytes, or fewer at the end.
    ///
    /// # Errors
    /// Why the registry does not go on.
    pub async fn take(&mut self, length: usize) -> Result<Unverified, Failure> {
        let length = length.min(usize::try_from(self.total - self.at).unwrap_or(usize::MAX));
        self.pending.reserve(length.saturating_sub(self.pending.len()));
        while self.pending.len() < length {
            let Some(more) = self.body.next().await else {
                break;
            };
            self.pending.extend_from_slice(&more?);
        }
        let ready = length.min(self.pending.len());
        let bytes = self.pending.split_to(ready).freeze();
        self.at += bytes.len() as u64;
        Ok(Unverified::new(bytes))
    }
}
