//! Manifests: asked for by tag or digest, with HEAD or GET.

use bytes::Bytes;
use content::Digest;
use http::header::{ACCEPT, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use serde::Deserialize;

use crate::call::Call;
use crate::credential::Caller;
use crate::door::Ask;
use crate::error::Error;
use crate::handed_on;
use crate::names::{Reference, Repository};
use crate::registries::Registries;
use crate::reply::Reply;

/// The largest manifest that is taken: what the specification says every registry must accept.
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

/// What is accepted if the client says nothing: a registry might else answer with a form of the
/// last decade.
const ALL_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What of a manifest is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestMethod {
    /// Its digest, type and length.
    Head,
    /// Its bytes too.
    Get,
}

/// How a manifest is asked for.
#[derive(Debug, Clone)]
pub struct ManifestRequest {
    /// What of it.
    pub method: ManifestMethod,
    /// The client's `Accept` values, in order; if empty, every manifest that there is.
    pub accept: Vec<String>,
    /// The client's `If-None-Match`.
    pub if_none_match: Option<String>,
}

/// A registry's answer about a manifest.
#[derive(Debug, Clone)]
pub struct ManifestAnswer {
    /// 200, or 304 to a conditional request.
    pub status: u16,
    /// The manifest's digest. With a body it has been checked; else it is what the registry says.
    pub digest: Digest,
    /// The manifest's media type; empty with 304 if the registry does not repeat it.
    pub media_type: String,
    /// The manifest's length; 0 with 304 if the registry does not repeat it.
    pub length: u64,
    /// The bytes, if they were asked for.
    pub body: Option<Bytes>,
    /// Headers for the client (`etag`, rate limits, `link`, `warning`), names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Registries {
    /// Asks for a manifest. The digest of a body is checked against the reference, if that is a
    /// digest, and against what the registry says.
    ///
    /// # Errors
    /// [`Error::Refused`] with the registry's own words; [`Error::DigestMismatch`];
    /// [`Error::TooLarge`] beyond [`MANIFEST_LIMIT`]; and all that can befall a connection.
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        request: &ManifestRequest,
        caller: &Caller,
    ) -> Result<ManifestAnswer, Error> {
        let asking = Asking { call: self.call(repository, caller)?, reference, request };
        if request.method == ManifestMethod::Get {
            return asking.get().await;
        }
        if let Some(answer) = asking.head().await? {
            return Ok(answer);
        }
        // Some registries do not tell all that is needed without the body.
        let mut answer = asking.get().await?;
        answer.body = None;
        Ok(answer)
    }
}

struct Asking<'a> {
    call: Call<'a>,
    reference: &'a Reference,
    request: &'a ManifestRequest,
}

impl Asking<'_> {
    async fn head(&self) -> Result<Option<ManifestAnswer>, Error> {
        let ask = self.ask(Method::HEAD, self.request.if_none_match.as_deref());
        let reply = self.call.patiently(&ask, &[200, 304]).await?;
        self.check_named(&reply)?;
        if reply.status() == 304 {
            return Ok(self.not_modified(&reply));
        }
        let told = (named(&reply), reply.media_type(), reply.content_length());
        let (Some(digest), Some(media_type), Some(length)) = told else {
            return Ok(None);
        };
        Ok(Some(ManifestAnswer {
            status: 200,
            digest,
            media_type: media_type.to_owned(),
            length,
            body: None,
            headers: handed_on::of_answer(reply.headers()),
        }))
    }

    async fn get(&self) -> Result<ManifestAnswer, Error> {
        let mut condition = self.request.if_none_match.as_deref();
        loop {
            let ask = self.ask(Method::GET, condition);
            let what = "the manifest";
            let whole = self.call.whole(&ask, &[200, 304], what, MANIFEST_LIMIT);
            let (reply, body) = whole.await?;
            if reply.status() == 200 {
                return self.with_body(&reply, body);
            }
            if condition.is_none() {
                return Err(reply.protocol("status 304 to a request without a condition"));
            }
            self.check_named(&reply)?;
            if let Some(answer) = self.not_modified(&reply) {
                return Ok(answer);
            }
            // Not modified, but nobody says what it is: it is asked for outright.
            condition = None;
        }
    }

    fn ask(&self, method: Method, condition: Option<&str>) -> Ask {
        let url = self.call.url("manifests", &self.reference.to_string());
        let mut ask = Ask::new(method, url);
        let given = HeaderValue::from_str(&self.request.accept.join(", "));
        let accept = given.ok().filter(|value| !value.is_empty());
        let all = HeaderValue::from_static(ALL_MANIFESTS);
        ask.headers.insert(ACCEPT, accept.unwrap_or(all));
        if let Some(Ok(value)) = condition.map(HeaderValue::from_str) {
            ask.headers.insert(IF_NONE_MATCH, value);
        }
        ask
    }

    fn with_body(&self, reply: &Reply, body: Bytes) -> Result<ManifestAnswer, Error> {
        let actual = Digest::of(&body);
        let asked = match self.reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => None,
        };
        for expected in asked.into_iter().chain(named(reply)) {
            if expected != actual {
                return Err(Error::DigestMismatch { expected, actual });
            }
        }
        let told = reply.media_type().map(str::to_owned);
        let media_type = told.or_else(|| media_type_inside(&body));
        Ok(ManifestAnswer {
            status: 200,
            digest: actual,
            media_type: media_type.ok_or_else(|| reply.protocol("a manifest without a type"))?,
            length: body.len() as u64,
            body: Some(body),
            headers: handed_on::of_answer(reply.headers()),
        })
    }

    /// A registry that names another digest than the one asked for is not to be followed.
    fn check_named(&self, reply: &Reply) -> Result<(), Error> {
        match (self.reference, named(reply)) {
            (Reference::Digest(asked), Some(named)) if *asked != named => {
                Err(Error::DigestMismatch { expected: *asked, actual: named })
            }
            _ => Ok(()),
        }
    }

    fn not_modified(&self, reply: &Reply) -> Option<ManifestAnswer> {
        let known = match self.reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => named(reply).or_else(|| tagged_with(reply.headers())),
        };
        Some(ManifestAnswer {
            status: 304,
            digest: known?,
            media_type: reply.media_type().unwrap_or_default().to_owned(),
            length: reply.content_length().unwrap_or_default(),
            body: None,
            headers: handed_on::of_answer(reply.headers()),
        })
    }
}

fn named(reply: &Reply) -> Option<Digest> {
    reply.header(&DOCKER_CONTENT_DIGEST)?.parse().ok()
}

/// Most registries make the digest the entity tag.
fn tagged_with(headers: &HeaderMap) -> Option<Digest> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    tag.trim_start_matches("W/").trim_matches('"').parse().ok()
}

/// The type that a manifest gives itself.
fn media_type_inside(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    let typed: Typed = serde_json::from_slice(body).ok()?;
    // It becomes a header's value.
    let fits = typed.media_type.len() <= 255 && HeaderValue::from_str(&typed.media_type).is_ok();
    fits.then_some(typed.media_type)
}
