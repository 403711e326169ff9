//! What the process that serves mounts is asked: HTTP/1.1 over a unix socket in the cache's folder,
//! for root only.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/mounts`, an [`Order`] as JSON | 204 when it is mounted; 400 `{"error": …}`; 503 if the process is about to end |
//! | `GET /v1/mounts` | [`Told`](crate::node::Told), as a list |
//! | `GET /v1/stats` | [`Stats`](crate::node::Stats), as a list |
//! | `GET /v1/supply` | [`Supply`](crate::node::Supply) |
//! | `GET /healthz`, `/readyz`, `/metrics` | as every daemon's |
//! | `POST /v1/forget`, a path as JSON | 204 if what was mounted there is not brought back any more; 404 |

use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use image::causes;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use web::status::Status;

use crate::node::{Node, Order, Stats, Supply, Told};
use crate::socket::{self, json, status};

/// What became of their reads and chunks.
const STATS: &str = "/v1/stats";

/// How chunks come and are kept.
const SUPPLY: &str = "/v1/supply";

/// All mounts.
const MOUNTS: &str = "/v1/mounts";

/// So long an order may be, in bytes.
const MOST: usize = 64 << 10;

/// The socket of the process that uses the cache in `folder`.
#[must_use]
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("nydusd.sock")
}

/// Answers until `stop`.
pub(crate) async fn serve(
    listener: UnixListener,
    node: Arc<Node>,
    pages: Status,
    stop: CancellationToken,
) {
    let answer = move |request| answer(request, Arc::clone(&node), pages.clone());
    socket::serve(listener, stop, answer).await;
}

async fn answer(
    request: Request<Incoming>,
    node: Arc<Node>,
    pages: Status,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, MOUNTS) => {
            let told = tokio::task::spawn_blocking(move || node.tell()).await.unwrap_or_default();
            json(StatusCode::OK, &told)
        }
        (&Method::GET, SUPPLY) => json(StatusCode::OK, &node.supply()),
        (&Method::GET, STATS) => {
            let told = tokio::task::spawn_blocking(move || node.stats()).await.unwrap_or_default();
            json(StatusCode::OK, &told)
        }
        (&Method::GET, "/healthz" | "/readyz" | "/metrics") => {
            tokio::task::spawn_blocking(move || pages.answer(&request))
                .await
                .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
        }
        (&Method::POST, MOUNTS) => {
            let body = Limited::new(request.into_body(), MOST).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            // Mounting waits for the network: not in a thread that others need.
            let done = tokio::task::spawn_blocking(move || {
                let Some(_inside) = node.enter() else { return Ok(None) };
                let order: Order = serde_json::from_slice(&body)?;
                match node.mount(&order) {
                    Err(_) if node.is_ending() => Ok(None),
                    done => done.map(Some),
                }
            });
            match done.await.map_err(anyhow::Error::from).and_then(|done| done) {
                Ok(Some(())) => status(StatusCode::NO_CONTENT),
                Ok(None) => status(StatusCode::SERVICE_UNAVAILABLE),
                Err(error) => {
                    let told = serde_json::json!({ "error": causes(error.as_ref()) });
                    json(StatusCode::BAD_REQUEST, &told)
                }
            }
        }
        (&Method::POST, "/v1/forget") => {
            let body = Limited::new(request.into_body(), MOST).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let at = serde_json::from_slice::<PathBuf>(&body);
            let forgot = at.is_ok_and(|at| node.forget(&at));
            status(if forgot { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// Asks the process behind `socket` for a mount. `None` if there is no such process, or it is about
/// to end.
///
/// # Errors
/// What it says.
pub fn ask_for(socket: &Path, order: &Order) -> anyhow::Result<Option<()>> {
    let body = serde_json::to_vec(order)?;
    Ok(ask(socket, Method::POST, MOUNTS, body)?.map(|_| ()))
}

/// Asks the process behind `socket` for its mounts. `None` if there is no such process.
///
/// # Errors
/// If it may not be asked, or its answer cannot be understood.
pub fn ask_all(socket: &Path) -> anyhow::Result<Option<Vec<Told>>> {
    told(socket, MOUNTS)
}

/// Asks the process behind `socket` how it gets and keeps chunks. `None` if there is no such process.
///
/// # Errors
/// If its answer cannot be understood.
pub fn ask_supply(socket: &Path) -> anyhow::Result<Option<Supply>> {
    told(socket, SUPPLY)
}

/// Asks the process behind `socket` what became of its mounts' reads and chunks.
///
/// # Errors
/// If it may not be asked, or its answer cannot be understood.
pub fn ask_stats(socket: &Path) -> anyhow::Result<Vec<Stats>> {
    Ok(told(socket, STATS)?.unwrap_or_default())
}

/// Tells the process behind `socket` that what was mounted at `at` need not be brought back; whether
/// it would have been. `None` if there is no such process.
///
/// # Errors
/// If the path is no text.
pub fn forget(socket: &Path, at: &Path) -> anyhow::Result<Option<bool>> {
    match ask(socket, Method::POST, "/v1/forget", serde_json::to_vec(at)?) {
        Ok(told) => Ok(told.map(|_| true)),
        Err(_) => Ok(Some(false)),
    }
}

/// What is told at `what`; `None` if there is nobody.
fn told<T: DeserializeOwned>(socket: &Path, what: &str) -> anyhow::Result<Option<T>> {
    let answer = ask(socket, Method::GET, what, Vec::new())?;
    Ok(answer.map(|told| serde_json::from_slice(&told)).transpose()?)
}

fn ask(socket: &Path, method: Method, what: &str, body: Vec<u8>) -> anyhow::Result<Option<Bytes>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            // There is no socket, or nobody listens.
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
            Err(error) => {
                let socket = socket.display();
                return Err(error).context(format!("{socket} cannot be asked (root can)"));
            }
        };
        let (mut connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        let request = Request::builder()
            .method(method)
            .uri(what)
            .header(header::HOST, "nydusd")
            .body(Full::<Bytes>::from(body))?;
        // Who ends before it answers has done nothing.
        let Ok(response) = connection.send_request(request).await else { return Ok(None) };
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(Some(body));
        }
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        anyhow::bail!("{}", told.get("error").and_then(|e| e.as_str()).unwrap_or("it says no"))
    })
}
