//! Errors as the distribution specification has them: a status and a JSON body.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use peer::Failure;
use wire::request::{Header, Kind, Said};

use super::route::NoRoute;

/// An error for the client: the specification's code, and words that name cause and remedy.
#[derive(Clone, Debug)]
pub struct OciError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl OciError {
    /// An error of `code` (distribution-spec, "Error Codes").
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn body(code: &str, message: &str) -> String {
        let error = serde_json::json!({ "code": code, "message": message, "detail": null });
        serde_json::json!({ "errors": [error] }).to_string()
    }

    /// The answer that carries it.
    #[must_use]
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(Self::body(self.code, &self.message)));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<NoRoute> for OciError {
    fn from(no_route: NoRoute) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        match no_route {
            NoRoute::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                "this path is not of the registry API",
            ),
            NoRoute::Name => Self::new(bad, "NAME_INVALID", "the repository's name is not allowed"),
            NoRoute::Digest => Self::new(
                bad,
                "DIGEST_INVALID",
                "a digest is sha256: and 64 lower-case hexadecimal characters",
            ),
            NoRoute::Tag => Self::new(bad, "TAG_INVALID", "the tag is not allowed"),
            NoRoute::NoRegistry => Self::new(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                "no registry was named: add ?ns=HOST, put the host before the repository, or \
                 configure registries.default",
            ),
        }
    }
}

/// What a client is told of a failure. `unknown` is the code for "there is no such thing" of what
/// was asked for.
#[must_use]
pub fn failed(failure: Failure, unknown: &'static str) -> Response<Body> {
    let message = failure.message;
    if let Some(said) = failure.said {
        return refused(said, unknown, message);
    }
    let error = match failure.kind {
        Kind::Refused => OciError::new(StatusCode::NOT_FOUND, unknown, message),
        Kind::NotAdmitted => OciError::new(StatusCode::FORBIDDEN, "DENIED", message),
        Kind::Invalid => OciError::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message),
        Kind::Origin | Kind::Mismatch => OciError::new(StatusCode::BAD_GATEWAY, "UNKNOWN", message),
        // Not 429: containerd would ask again within milliseconds.
        Kind::Other => OciError::new(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", message),
    };
    error.response()
}

/// A registry's refusal, word for word; where it had no words, as to a HEAD, the specification's.
fn refused(mut said: Said, unknown: &'static str, message: String) -> Response<Body> {
    if said.body.is_empty() {
        let code = match said.status {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            404 => unknown,
            429 => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        said.body = OciError::body(code, &message).into_bytes();
        said.headers.retain(|header| !header.name.eq_ignore_ascii_case("content-type"));
        said.headers.push(Header { name: "content-type".into(), value: "application/json".into() });
    }
    hand_on(said)
}

/// What the registry said, word for word: challenge, rate limit, body.
#[must_use]
pub fn hand_on(said: Said) -> Response<Body> {
    let mut response = Response::new(Body::from(said.body));
    *response.status_mut() = u16::try_from(said.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::BAD_GATEWAY);
    for told in said.headers {
        add_header(response.headers_mut(), &told.name, &told.value);
    }
    response
}

/// Adds a header that a registry sent, if it is one.
pub fn add_header(headers: &mut axum::http::HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_of_ours_is_429() {
        use Kind::{Invalid, Mismatch, NotAdmitted, Origin, Other, Refused};
        // containerd repeats a 429 five times within milliseconds, and then goes on as with 503.
        for kind in [Other, Refused, NotAdmitted, Origin, Mismatch, Invalid] {
            let status = failed(Failure::new(kind, "why"), "BLOB_UNKNOWN").status();
            assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "{kind:?}");
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
        let busy = failed(Failure::new(Other, "why"), "BLOB_UNKNOWN");
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
