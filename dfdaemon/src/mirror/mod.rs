//! The registry mirror that containerd, docker, podman and CRI-O are pointed at.
//!
//! Step 1 of the walk. HTTP/1.1 only: a reset of an h2 stream makes containerd give a pull up,
//! where the orderly end of a connection makes it resume.

pub mod error;
pub mod range;
pub mod route;

pub(crate) mod body;

mod blob;
mod listen;
mod manifest;
mod outlet;
mod page;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use registry::{Caller, Credential, Reference, Repository};
use telemetry::request_id::{self, RequestId};
use tracing::Instrument;

use crate::gateway::{Asked, Gateway};
use error::OciError;
use outlet::Outlet;
use route::Route;

pub use listen::serve;

/// Clients get headers within this time: containerd 2.3 goes on to the next host after 30 s.
const HEADERS_WITHIN: Duration = Duration::from_secs(25);

/// What answers the mirror's clients.
#[derive(Clone, Debug)]
pub struct Mirror {
    gateway: Arc<Gateway>,
    default: Option<String>,
}

impl Mirror {
    /// A mirror in front of `gateway`; `default` is the registry of requests that name none.
    #[must_use]
    pub const fn new(gateway: Arc<Gateway>, default: Option<String>) -> Self {
        Self { gateway, default }
    }

    /// Answers a request that came over the connection of `outlet`.
    async fn handle(&self, request: Request<Incoming>, outlet: &Outlet) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        let told = parts.headers.get(request_id::HEADER).and_then(|value| value.to_str().ok());
        let id = RequestId::accept(told);
        let registry = named_registry(&parts);
        let mut response = match self.read(&parts, &id) {
            Ok(question) => match self.at_once(&question, &parts.headers, outlet) {
                Some(response) => response,
                None => self.in_time(question, &parts, &id).await,
            },
            Err(error) => error.response(),
        };
        tracing::debug!(request = %id, method = %parts.method, path = parts.uri.path(),
            status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers
            .insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        error::add_header(headers, request_id::HEADER, id.as_ref());
        if let Some(registry) = registry {
            // distribution-spec, "Registry proxying": the proxy says for whom it answers.
            error::add_header(headers, "oci-namespace", &registry);
        }
        response
    }

    /// What is asked for, and by whom.
    fn read(&self, parts: &Parts, id: &RequestId) -> Result<Question, OciError> {
        let head = parts.method == Method::HEAD;
        if !head && parts.method != Method::GET {
            return Err(OciError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "this is a mirror: push to the registry itself",
            ));
        }
        let route = route::read(parts.uri.path(), parts.uri.query(), self.default.as_deref())?;
        let caller = caller(&parts.headers)?;
        Ok(Question { route, caller, head, request_id: id.to_string() })
    }

    /// The answer of what is here, verified, and was granted to this client a short time ago:
    /// nobody is asked, and nothing waited for.
    fn at_once(
        &self,
        question: &Question,
        headers: &HeaderMap,
        outlet: &Outlet,
    ) -> Option<Response<Body>> {
        match &question.route {
            Route::Blob(repository, digest) if !question.head => {
                self.warm_blob(&question.asked(repository), *digest, headers, outlet)
            }
            Route::Manifest(repository, Reference::Digest(digest)) => {
                self.warm_manifest(&question.asked(repository), digest, question.head, headers)
            }
            _ => None,
        }
    }

    /// The answer, or that it took too long.
    async fn in_time(&self, question: Question, parts: &Parts, id: &RequestId) -> Response<Body> {
        let span = tracing::info_span!("mirror", request = %id, method = %parts.method,
            path = parts.uri.path());
        let answer = self.answer(question, &parts.headers).instrument(span);
        tokio::time::timeout(HEADERS_WITHIN, answer).await.unwrap_or_else(|_| {
            let late = "the registry did not answer in time";
            OciError::new(StatusCode::GATEWAY_TIMEOUT, "UNKNOWN", late).response()
        })
    }

    async fn answer(&self, question: Question, headers: &HeaderMap) -> Response<Body> {
        let asked = |repository| question.asked(repository);
        let head = question.head;
        match &question.route {
            Route::Ping => ping(),
            Route::Manifest(repository, reference) => {
                self.manifest(asked(repository), reference.clone(), head, headers).await
            }
            Route::Blob(repository, digest) => {
                self.blob(asked(repository), *digest, head, headers).await
            }
            Route::Tags(repository, page) => self.tags(asked(repository), page.clone()).await,
            Route::Referrers(repository, digest, kind) => {
                self.referrers(asked(repository), *digest, kind.clone()).await
            }
        }
    }
}

/// A request, read.
struct Question {
    route: Route,
    caller: Caller,
    head: bool,
    request_id: String,
}

impl Question {
    fn asked(&self, repository: &Repository) -> Asked {
        Asked {
            repository: repository.clone(),
            caller: self.caller.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

/// The registry that `?ns=` names.
fn named_registry(parts: &Parts) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(parts.uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == "ns").map(|(_, value)| value.into_owned())
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
