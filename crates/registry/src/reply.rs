//! An upstream's answer: its status, its headers, and a body that is read within bounds.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName};

use crate::content_range::{ContentRange, number};
use crate::door::translate;
use crate::error::{Error, Refusal};
use crate::{handed_on, retry};

/// The longest body of a refusal that is handed on.
const LONGEST_REFUSAL: u64 = 64 * 1024;
/// A body up to here is read to its end, so that its connection can serve again.
const WORTH_READING: u64 = 16 * 1024;

/// And it must not take longer than a new connection would.
const WORTH_WAITING: Duration = Duration::from_millis(500);

/// An answer whose body has not been read yet.
pub(crate) struct Reply {
    host: String,
    from_home: bool,
    headers: HeaderMap,
    response: reqwest::Response,
    read_timeout: Duration,
}

impl Reply {
    /// # Errors
    /// The body is compressed, which was not asked for.
    pub(crate) fn new(
        host: String,
        from_home: bool,
        mut response: reqwest::Response,
        read_timeout: Duration,
    ) -> Result<Self, Error> {
        let headers = std::mem::take(response.headers_mut());
        let reply = Self { host, from_home, headers, response, read_timeout };
        if reply.is_encoded() && reply.response.status().is_success() {
            return Err(reply.protocol("the body is compressed"));
        }
        Ok(reply)
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the host that was asked first has answered, and not one that a redirect led to.
    pub(crate) fn is_from_home(&self) -> bool {
        self.from_home
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The declared length, also of an answer to HEAD.
    pub(crate) fn content_length(&self) -> Option<u64> {
        number(self.header(&CONTENT_LENGTH)?)
    }

    pub(crate) fn content_range(&self) -> Option<ContentRange> {
        ContentRange::parse(self.header(&CONTENT_RANGE)?)
    }

    /// The media type without its parameters.
    pub(crate) fn media_type(&self) -> Option<&str> {
        let essence = self.header(&CONTENT_TYPE)?.split(';').next()?.trim();
        (!essence.is_empty()).then_some(essence)
    }

    pub(crate) fn protocol(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.host, what)
    }

    fn is_encoded(&self) -> bool {
        let encoding = self.headers.get(CONTENT_ENCODING);
        encoding.is_some_and(|e| !e.is_empty() && !e.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    /// The body's next bytes. Losing the future loses no bytes.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(self.read_timeout, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(translate(&self.host, &error)),
            Err(_) => Err(Error::Timeout { host: self.host.clone(), during: "the body was read" }),
        }
    }

    /// The whole body, if it is not larger than `limit`; `what` is named in the error.
    pub(crate) async fn collect(&mut self, what: &'static str, limit: u64) -> Result<Bytes, Error> {
        let too_large = Error::TooLarge { what, limit };
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() as u64 + chunk.len() as u64 > limit {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Lets go of an answer whose body does not matter.
    pub(crate) async fn discard(mut self) {
        // If it fails or takes long, the connection is closed, which is as well.
        let read = self.collect("a body of no interest", WORTH_READING);
        let _ = tokio::time::timeout(WORTH_WAITING, read).await;
    }

    /// The answer as a refusal, to be handed on. A redirect's target speaks for itself, not for
    /// the registry: its challenges are not handed on.
    pub(crate) async fn into_refusal(mut self) -> Refusal {
        let asked = self.header(&http::header::RETRY_AFTER);
        let retry_after = asked.and_then(|text| retry::retry_after(text, SystemTime::now()));
        let mut www_authenticate = handed_on::challenges(&self.headers);
        www_authenticate.retain(|_| self.from_home);
        let mut refusal = Refusal {
            status: self.status(),
            www_authenticate,
            content_type: self.header(&CONTENT_TYPE).map(str::to_owned),
            body: Bytes::new(),
            headers: handed_on::of_refusal(&self.headers),
            retry_after,
        };
        if !self.is_encoded() {
            // The status is what counts; a body that cannot be read is left out.
            let read = self.collect("a refusal", LONGEST_REFUSAL).await;
            refusal.body = read.unwrap_or_default();
        }
        refusal
    }

    /// The answer as an error: a refusal, or a status that makes no sense here.
    pub(crate) async fn into_error(self) -> Error {
        if self.status() < 400 {
            return self.protocol(format!("status {} makes no sense here", self.status()));
        }
        Error::Refused(Box::new(self.into_refusal().await))
    }
}
