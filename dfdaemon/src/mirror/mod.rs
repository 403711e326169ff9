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

pub(crate) mod outlet;

mod blob;
mod manifest;
mod page;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use prometheus_client::metrics::counter::Counter;
use registry::{Caller, Credential, Reference, Repository};
use telemetry::request_id::{self, RequestId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::gateway::{Asked, Gateway};
use error::OciError;
use outlet::{Outlet, Socket};
use route::Route;

/// Clients get headers within this time: containerd 2.3 goes on to the next host after 30 s.
const HEADERS_WITHIN: Duration = Duration::from_secs(25);

/// Once the node is to stop, answers that are not known within this time are not waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A connection's next request comes in time: clients let go of idle connections earlier (Go after
/// 90 s), so that none is closed under a request.
const CLIENTS: web::Limits =
    web::Limits { connections: 4096, request_within: Duration::from_secs(120) };

/// What answers the mirror's clients.
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

    /// Answers whoever comes to `listener`, until the process is to stop. Bytes that the kernel sends
    /// straight from files are counted in `from_files`.
    pub(crate) async fn serve(self, listener: TcpListener, from_files: Counter) {
        web::listen(listener, CLIENTS, self.stop.clone(), |stream| {
            let (mirror, socket) = (self.clone(), Socket::new(stream, from_files.clone()));
            async move {
                let outlet = socket.outlet();
                let answer = async |request| mirror.handle(request, &outlet).await;
                web::converse(socket, CLIENTS, mirror.stop.clone(), answer).await;
            }
        })
        .await;
    }

    /// Ends some time after the process was told to stop.
    async fn stopped(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    }

    /// Answers a request that came over the connection of `outlet`.
    pub(crate) async fn handle<B>(&self, request: Request<B>, outlet: &Outlet) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        let told = parts.headers.get(request_id::HEADER).and_then(|value| value.to_str().ok());
        let id = RequestId::accept(told);
        let mut response = match self.read(&parts, &id) {
            Ok(question) => match self.at_once(&question, &parts.headers, outlet) {
                Some(response) => response,
                None => self.in_time(question, &parts, &id).await,
            },
            Err(refusal) => refusal,
        };
        tracing::debug!(request = %id, method = %parts.method, path = parts.uri.path(),
            status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        error::add_header(headers, request_id::HEADER, id.as_ref());
        if let Some(named) = named_registry(&parts.uri) {
            // distribution-spec, "Registry proxying": the proxy says for whom it answers.
            error::add_header(headers, "oci-namespace", &named);
        }
        response
    }

    /// What is asked for, and by whom; or why nothing is.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer, and moves once")]
    fn read(&self, parts: &Parts, id: &RequestId) -> Result<Question, Response<Body>> {
        let head = parts.method == Method::HEAD;
        if !head && parts.method != Method::GET {
            return Err(read_only());
        }
        let route = route::read(parts.uri.path(), parts.uri.query(), self.default.as_deref())
            .map_err(|no_route| OciError::from(no_route).response())?;
        let caller = caller(&parts.headers).map_err(OciError::response)?;
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
        let late = |status, why| OciError::new(status, "UNKNOWN", why).response();
        // Without a supernode it is the registry itself that is told the id.
        let answer = registry::RequestId::scope(
            registry::RequestId::new(id.as_str()),
            self.answer(question, parts),
        );
        tokio::select! {
            response = answer.instrument(span) => response,
            () = tokio::time::sleep(HEADERS_WITHIN) => {
                late(StatusCode::GATEWAY_TIMEOUT, "the registry did not answer in time")
            }
            () = self.stopped() => late(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
        }
    }

    async fn answer(&self, question: Question, parts: &Parts) -> Response<Body> {
        let (head, headers) = (question.head, &parts.headers);
        let asked = |repository| question.asked(repository);
        match &question.route {
            Route::Ping => ping(),
            Route::Manifest(repository, reference) => {
                self.manifest(asked(repository), reference.clone(), head, headers).await
            }
            Route::Blob(repository, digest) => {
                self.blob(asked(repository), *digest, head, headers).await
            }
            Route::Page(repository, page) => {
                self.page(asked(repository), page.clone(), &parts.uri).await
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
fn named_registry(uri: &Uri) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == "ns").map(|(_, value)| value.into_owned())
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
