//! The registry mirror that containerd, docker, podman and CRI-O are pointed at.
//!
//! Step 1 of the walk. HTTP/1.1 only: a reset of an h2 stream makes containerd give a pull up,
//! where the orderly end of a connection makes it resume.

pub mod error;
pub mod link;
pub mod range;
pub mod route;
pub mod short;

pub(crate) mod body;

mod blob;
mod manifest;
mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use registry::{Caller, Credential};
use telemetry::request_id::{self, RequestId};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::gateway::{Asked, Gateway};
use error::OciError;
use route::Route;

/// Clients get headers within this time: containerd 2.3 goes on to the next host after 30 s.
const HEADERS_WITHIN: Duration = Duration::from_secs(25);

/// Once the node is to stop, answers that are not known within this time are not waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The mirror's one handler.
#[derive(Clone, Debug)]
pub struct Mirror {
    gateway: Arc<Gateway>,
    default: Option<String>,
    stop: CancellationToken,
}

impl Mirror {
    /// A mirror in front of `gateway`; `default` is the registry of requests that name none. Once
    /// `stop` is cancelled, who still waits for an answer is sent elsewhere.
    #[must_use]
    pub const fn new(
        gateway: Arc<Gateway>,
        default: Option<String>,
        stop: CancellationToken,
    ) -> Self {
        Self { gateway, default, stop }
    }

    /// Ends some time after the process was told to stop.
    async fn stopped(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    }

    /// Its routes: all paths lead to one handler, which reads them itself.
    pub fn routes(self) -> Router {
        Router::new().fallback(handle).with_state(self)
    }

    async fn answer(&self, request: Request, id: RequestId) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        if !head && parts.method != Method::GET {
            return read_only();
        }
        let route = route::read(parts.uri.path(), parts.uri.query(), self.default.as_deref());
        let caller = caller(&parts.headers);
        let (route, caller) = match (route, caller) {
            (Err(no_route), _) => return OciError::from(no_route).response(),
            (_, Err(error)) => return error.response(),
            (Ok(route), Ok(caller)) => (route, caller),
        };
        let asked = |repository| Asked { repository, caller, request_id: id.to_string() };
        match route {
            Route::Ping => ping(),
            Route::Manifest(repository, reference) => {
                self.manifest(asked(repository), reference, head, &parts.headers).await
            }
            Route::Blob(repository, digest) => {
                self.blob(asked(repository), digest, head, &parts.headers).await
            }
            Route::Page(repository, page) => self.page(asked(repository), page, &parts.uri).await,
        }
    }
}

async fn handle(State(mirror): State<Mirror>, request: Request) -> Response<Body> {
    let told = request.headers().get(request_id::HEADER).and_then(|value| value.to_str().ok());
    let id = RequestId::accept(told);
    let named = request.uri().query().and_then(|query| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == "ns").map(|(_, value)| value.into_owned())
    });
    let span = tracing::info_span!("mirror", request = %id, method = %request.method(), path = request.uri().path());
    let late = |status, why| OciError::new(status, "UNKNOWN", why).response();
    // Without a supernode it is the registry itself that is told the id.
    let answer = registry::RequestId::scope(
        registry::RequestId::new(id.as_str()),
        mirror.answer(request, id.clone()),
    );
    let mut response = tokio::select! {
        response = answer.instrument(span.clone()) => response,
        () = tokio::time::sleep(HEADERS_WITHIN) => {
            late(StatusCode::GATEWAY_TIMEOUT, "the registry did not answer in time")
        }
        () = mirror.stopped() => late(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
    };
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    let headers = response.headers_mut();
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    error::add_header(headers, request_id::HEADER, id.as_ref());
    if let Some(named) = named {
        // distribution-spec, "Registry proxying": the proxy says for whom it answers.
        error::add_header(headers, "oci-namespace", &named);
    }
    response
}

fn read_only() -> Response<Body> {
    let error = OciError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "UNSUPPORTED",
        "this is a mirror: push to the registry itself",
    );
    let mut response = error.response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn ping() -> Response<Body> {
    let mut response = Response::new(Body::from("{}"));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The client, by its `Authorization`.
pub(crate) fn caller(headers: &HeaderMap) -> Result<Caller, OciError> {
    let invalid = || {
        OciError::new(
            StatusCode::BAD_REQUEST,
            "UNAUTHORIZED",
            "the Authorization header cannot be read",
        )
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(Caller::Client(None));
    };
    let value = value.to_str().map_err(|_| invalid())?;
    let credential = Credential::new(value).map_err(|_| invalid())?;
    Ok(Caller::Client(Some(credential)))
}

/// Whether `If-None-Match` names this digest, as an entity tag or bare.
fn unchanged(headers: &HeaderMap, digest: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == digest || tag == "*")
}

/// The headers that every answer about a digest has.
fn named(response: &mut Response<Body>, digest: &str, media_type: &str) {
    let headers = response.headers_mut();
    for (name, value) in [
        ("docker-content-digest", digest),
        ("etag", &format!("\"{digest}\"")),
        ("content-type", media_type),
    ] {
        headers.remove(name);
        error::add_header(headers, name, value);
    }
}
