//! Any admitted URL as a source of bytes, for `dfget`.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, Method};
use url::Url;

use crate::door::Ask;
use crate::error::Error;
use crate::registries::Registries;
use crate::reply::Reply;
use crate::resume::{Origin, Resume, ask_for};
use crate::retry::Backoff;
use crate::span::Span;

/// A URL's bytes as they arrive. Cut connections are resumed at the byte, as long as the content
/// stays the same.
pub struct UrlStream {
    /// The length of the whole, if the server tells.
    pub total: Option<u64>,
    /// The server's entity tag, as it stands in the header.
    pub etag: Option<String>,
    /// The server's modification time, as it stands in the header.
    pub last_modified: Option<String>,
    /// The media type, with its parameters.
    pub content_type: Option<String>,
    bytes: Resume<UrlOrigin>,
}

impl UrlStream {
    /// The next bytes; none at the end, and after an error. Dropping the future loses no bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.bytes.next().await
    }
}

impl fmt::Debug for UrlStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlStream")
            .field("host", &self.bytes.origin.url.host_str())
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// Opens the bytes `span` of an admitted URL. `headers` are sent to its host, and to no other
    /// that it redirects to; those that would change the meaning of the transfer are left out.
    ///
    /// # Errors
    /// [`Error::UrlNotAdmitted`], [`Error::Refused`] with the server's own words,
    /// [`Error::OutOfRange`] for a span that holds no byte, and all that can befall a connection.
    pub async fn open_url(
        &self,
        url: &Url,
        span: impl Into<Span>,
        headers: &[(String, String)],
    ) -> Result<UrlStream, Error> {
        let mut url = url.clone();
        url.set_fragment(None);
        let origin = UrlOrigin {
            registries: self.clone(),
            headers: sendable(&url, headers)?,
            url,
            version: Version::default(),
        };
        let config = &self.inner.config;
        let (first, later) = (Backoff::for_headers(config), Backoff::for_body(config));
        let mut bytes = Resume::open(origin, span.into(), first, later).await?;
        let content_type = bytes.reply().and_then(|r| text(r, &CONTENT_TYPE));
        let version = bytes.reply().map(Version::of).unwrap_or_default();
        bytes.origin.version = version.clone();
        Ok(UrlStream {
            total: bytes.total,
            etag: version.etag,
            last_modified: version.last_modified,
            content_type,
            bytes,
        })
    }
}

struct UrlOrigin {
    registries: Registries,
    url: Url,
    headers: HeaderMap,
    /// What was seen first.
    version: Version,
}

/// What tells one state of a URL's content from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Version {
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Version {
    fn of(reply: &Reply) -> Self {
        Self { etag: text(reply, &ETAG), last_modified: text(reply, &LAST_MODIFIED) }
    }

    /// What `If-Range` takes: only strong validators.
    fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        strong.or(match self.etag {
            Some(_) => None,
            None => self.last_modified.as_deref(),
        })
    }

    /// Whether `other` is certainly another one.
    fn differs(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        match (&self.etag, &other.etag) {
            (Some(a), Some(b)) => a != b,
            _ => differ(&self.last_modified, &other.last_modified),
        }
    }
}

impl Origin for UrlOrigin {
    async fn open(&self, span: Span) -> Result<Reply, Error> {
        let route = self.registries.inner.sites.url_route(&self.url)?;
        let mut ask = Ask::new(Method::GET, self.url.clone());
        ask.private.extend(self.headers.clone());
        ask_for(&mut ask, span);
        let validator = self.version.validator().filter(|_| span != Span::ALL);
        if let Some(Ok(value)) = validator.map(HeaderValue::from_str) {
            ask.headers.insert(IF_RANGE, value);
        }
        let reply = route.fetch(&ask).await?;
        let is_content = matches!(reply.status(), 200 | 206);
        if is_content && self.version.differs(&Version::of(&reply)) {
            let host = reply.host().to_owned();
            return Err(Error::Changed { host });
        }
        Ok(reply)
    }
}

fn text(reply: &Reply, name: &HeaderName) -> Option<String> {
    reply.header(name).map(str::to_owned)
}

/// Headers that are ours to set, or that would make the answer something else than the content.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("if-")
        || name.starts_with("proxy-")
        || matches!(
            name,
            "host"
                | "range"
                | "accept-encoding"
                | "content-length"
                | "transfer-encoding"
                | "connection"
                | "keep-alive"
                | "te"
                | "trailer"
                | "upgrade"
                | "expect"
        )
}

fn sendable(url: &Url, headers: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut sendable = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str()).ok();
        let value = HeaderValue::from_str(value).ok();
        let (Some(name), Some(mut value)) = (name, value) else {
            let host = url.host_str().unwrap_or_default();
            return Err(Error::protocol(host, "a header for it cannot be sent"));
        };
        if !is_ours(&name) {
            // Any of them may be secret.
            value.set_sensitive(true);
            sendable.append(name, value);
        }
    }
    Ok(sendable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: Option<&str>, last_modified: Option<&str>) -> Version {
        Version { etag: etag.map(str::to_owned), last_modified: last_modified.map(str::to_owned) }
    }

    #[test]
    fn what_if_range_takes() {
        let of = |etag, date| version(etag, date).validator().map(str::to_owned);
        assert_eq!(of(Some("\"a\""), Some("d")).as_deref(), Some("\"a\""));
        assert_eq!(of(Some("W/\"a\""), Some("d")), None);
        assert_eq!(of(None, Some("d")).as_deref(), Some("d"));
    }

    #[test]
    fn what_certainly_differs() {
        let a = version(Some("a"), Some("d"));
        assert!(a.differs(&version(Some("b"), Some("d"))));
        assert!(!a.differs(&version(Some("a"), Some("e"))));
        assert!(a.differs(&version(None, Some("e"))));
        assert!(!a.differs(&version(None, None)));
    }

    #[test]
    fn headers_that_would_change_the_transfer_are_left_out() {
        let url = Url::parse("https://a.example/").unwrap();
        let given = [("X-Token", "s"), ("Range", "bytes=0-1"), ("If-Match", "x"), ("Host", "b")];
        let given = given.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let sent = sendable(&url, &given).unwrap();
        assert_eq!(sent.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-token"]);
        assert!(sendable(&url, &[("a\n".into(), "b".into())]).is_err());
    }
}
