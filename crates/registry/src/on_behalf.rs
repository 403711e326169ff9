//! The id of the client's request on whose behalf we ask.
//!
//! Upstreams are told it in `X-Request-ID`, so that their logs and ours tell one story. It goes to
//! the host that was meant, like `Authorization`, and not where a redirect leads. It belongs to the
//! running task and is not passed from hand to hand: what is read later, or elsewhere, takes it
//! along with [`RequestId::current`].

use http::HeaderValue;
use http::header::HeaderName;

/// The header that carries it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is passed on.
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: Option<RequestId>;
}

/// A request's id, fit for a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// An id of 1 to 64 visible characters; `None` if it is another text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let harmless = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        harmless.then(|| HeaderValue::from_str(text).ok().map(Self)).flatten()
    }

    /// The id on whose behalf this task asks now.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }

    /// Does `work` on behalf of `id`.
    pub async fn scope<F: Future>(id: Option<Self>, work: F) -> F::Output {
        CURRENT.scope(id, work).await
    }

    pub(crate) fn header(self) -> HeaderValue {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_fit_a_header_is_no_id() {
        for text in ["", "a b", "a\r\nX-Other: b", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(RequestId::new(text), None, "{text:?}");
        }
        assert!(RequestId::new("b6f879caf17594eb").is_some());
    }

    #[tokio::test]
    async fn it_belongs_to_the_task_that_works() {
        let id = RequestId::new("a");
        let inside = RequestId::scope(id.clone(), async { RequestId::current() }).await;
        assert_eq!((inside, RequestId::current()), (id, None));
    }
}
