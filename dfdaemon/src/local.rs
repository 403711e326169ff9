//! The door for `dfget` and for `dfdaemon cache`: HTTP/1.1 over a unix socket that only its group may use.
//!
//! | request | answered by |
//! |---|---|
//! | `GET /v1/url?url=…[&digest=sha256:…]` | the file, with `ETag`; ranges as usual |
//! | `GET /v1/blob?registry=…&repository=…&digest=…[&priority=…]` | the blob; `Authorization` goes to the registry |
//! | `/v1/cache…` | what is kept (`cache::door`) |
//!
//! A priority is `blocked` (a process waits in a read), `pull` (as without one) or `prefetch`. It goes
//! with what is wanted to the scheduler, and from there to whoever sends it.
//!
//! No request names a path to write: the caller writes its own file. An error is JSON,
//! `{"error": …, "kind": …}`; kind `not-admitted` and `not-shared` mean that the caller may help
//! itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use content::Digest;
use peer::{Failure, LiveTask};
use registry::Repository;
use serde::Deserialize;
use telemetry::request_id::RequestId;
use tokio::net::UnixListener;
use wire::control::Priority;
use wire::request::Kind;

use crate::cache;
use crate::gateway::{Asked, Gateway};
use crate::mirror::{body, caller};

/// Opens the socket; one that a killed process left behind is replaced.
///
/// # Errors
/// If another process serves it, or it cannot be made.
pub async fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "local.socket: another dfdaemon serves {}; a second one on this host needs its own \
             local.socket, state_dir, mirror.listen, peers.listen and admin.listen",
            path.display()
        );
    }
    let _ = std::fs::remove_file(path);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("local.socket: cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

/// The routes.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let cache = cache::door::routes(gateway.engine().clone());
    Router::new()
        .route("/v1/url", get(url))
        .route("/v1/blob", get(blob))
        .with_state(gateway)
        .merge(cache)
}

#[derive(Debug, Deserialize)]
struct UrlAsked {
    url: String,
    digest: Option<Digest>,
}

async fn url(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<UrlAsked>,
    headers: HeaderMap,
) -> Response<Body> {
    let id = RequestId::fresh().to_string();
    match gateway.open_url(&id, &asked.url, asked.digest).await {
        Ok(live) => answer(&gateway, &live, &headers, Priority::Pull, id),
        Err(failure) => failed(&failure),
    }
}

#[derive(Debug, Deserialize)]
struct BlobAsked {
    registry: String,
    repository: String,
    digest: Digest,
    #[serde(default)]
    priority: Urgency,
}

/// How urgent a local program says that a blob is.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Blocked,
    #[default]
    Pull,
    Prefetch,
}

impl From<Urgency> for Priority {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Blocked => Self::Blocked,
            Urgency::Pull => Self::Pull,
            Urgency::Prefetch => Self::Prefetch,
        }
    }
}

async fn blob(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<BlobAsked>,
    headers: HeaderMap,
) -> Response<Body> {
    let invalid = |what: String| failed(&Failure::new(Kind::Invalid, what));
    let repository = match Repository::new(&asked.registry, &asked.repository) {
        Ok(repository) => repository,
        Err(error) => return invalid(error.to_string()),
    };
    let Ok(caller) = caller(&headers) else {
        return invalid("the Authorization header cannot be read".into());
    };
    let id = RequestId::fresh().to_string();
    let question = Asked { repository, caller, request_id: id.clone() };
    let opened = gateway.open(&question, asked.digest);
    match registry::RequestId::scope(registry::RequestId::new(&id), opened).await {
        Ok(live) => answer(&gateway, &live, &headers, asked.priority.into(), id),
        Err(failure) => failed(&failure),
    }
}

fn answer(
    gateway: &Arc<Gateway>,
    live: &Arc<LiveTask>,
    headers: &HeaderMap,
    priority: Priority,
    id: String,
) -> Response<Body> {
    let name = live.id().to_string();
    let mut response = body::ranged(gateway, live, headers, &name, priority, id);
    let plain = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn failed(failure: &Failure) -> Response<Body> {
    let status = failure.said.as_ref().and_then(|said| u16::try_from(said.status).ok());
    let (kind, status) = match failure.kind {
        Kind::NotAdmitted => ("not-admitted", 403),
        Kind::Invalid => ("not-shared", 422),
        Kind::Refused => ("refused", status.unwrap_or(403)),
        Kind::Mismatch => ("mismatch", 502),
        Kind::Origin => ("origin", 502),
        Kind::Other => ("unavailable", 503),
    };
    let told = serde_json::json!({ "error": failure.message, "kind": kind });
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_a_pull_unless_its_asker_says_otherwise() {
        let asked = |more: &str| {
            let digest = Digest::of(b"a");
            let uri = format!("/v1/blob?registry=r&repository=a&digest={digest}{more}");
            Query::<BlobAsked>::try_from_uri(&uri.parse().unwrap())
                .map(|asked| Priority::from(asked.priority))
        };
        assert_eq!(asked("").unwrap(), Priority::Pull);
        assert_eq!(asked("&priority=blocked").unwrap(), Priority::Blocked);
        assert_eq!(asked("&priority=prefetch").unwrap(), Priority::Prefetch);
        assert!(asked("&priority=preheat").is_err() && asked("&priority=").is_err());
    }
}
