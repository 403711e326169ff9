//! The running daemon's side: part of its unix socket (`local`).
//!
//! | request | answered by |
//! |---|---|
//! | `GET /v1/cache` | [`cache::Listing`] |
//! | `POST /v1/cache/rm` [`Rm`] | [`cache::Done`] |
//! | `POST /v1/cache/gc` [`Gc`] | [`cache::Collected`] |
//! | `POST /v1/cache/pin` [`Pin`] | [`cache::Done`] |
//! | `POST /v1/cache/verify` [`Verify`] | a line of JSON for each [`Step`] |

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use peer::Engine;
use peer::cache::{self, CacheError, Step};
use peer::serve::unix_now;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Remove tasks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rm {
    /// The tasks; none means all.
    pub tasks: Vec<String>,
    /// Those too that are in use or pinned.
    pub force: bool,
}

/// Make room.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gc {
    /// How many bytes may stay.
    pub to: Option<u64>,
}

/// Keep tasks, or let them go.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pin {
    /// The tasks.
    pub tasks: Vec<String>,
    /// Keep them?
    pub pinned: bool,
}

/// Read tasks again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verify {
    /// The tasks; none means all.
    pub tasks: Vec<String>,
}

/// The routes.
pub fn routes(engine: Engine) -> Router {
    Router::new()
        .route("/v1/cache", get(list))
        .route("/v1/cache/rm", post(remove))
        .route("/v1/cache/gc", post(collect))
        .route("/v1/cache/pin", post(pin))
        .route("/v1/cache/verify", post(verify))
        .with_state(engine)
}

async fn list(State(engine): State<Engine>) -> Response {
    answer(move || Ok(cache::list(&engine))).await
}

async fn remove(State(engine): State<Engine>, Json(ask): Json<Rm>) -> Response {
    answer(move || cache::remove(&engine, &ask.tasks, ask.force)).await
}

async fn collect(State(engine): State<Engine>, Json(ask): Json<Gc>) -> Response {
    answer(move || Ok(cache::collect(&engine, ask.to, unix_now()))).await
}

async fn pin(State(engine): State<Engine>, Json(ask): Json<Pin>) -> Response {
    answer(move || cache::pin(&engine, &ask.tasks, ask.pinned)).await
}

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

async fn verify(State(engine): State<Engine>, Json(ask): Json<Verify>) -> Response {
    let (steps_in, mut steps) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let mut told = Instant::now();
        let outcome = cache::verify(&engine, &ask.tasks, |step| {
            if matches!(step, Step::Progress { .. }) && told.elapsed() < TELL_EVERY {
                return !steps_in.is_closed();
            }
            told = Instant::now();
            // Whoever asked may have gone away: then it stops.
            steps_in.blocking_send(step).is_ok()
        });
        if let Err(error) = outcome {
            let _ = steps_in.blocking_send(Step::Failed { error: error.to_string() });
        }
    });
    let lines = stream::poll_fn(move |context| steps.poll_recv(context)).map(|step| {
        let mut line = serde_json::to_vec(&step)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    });
    Response::new(Body::from_stream(lines))
}

/// Does work that may block, and answers with what came of it.
async fn answer<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(error)) => {
            let status = match error {
                CacheError::Unknown(_) => StatusCode::NOT_FOUND,
                CacheError::Ambiguous(_) => StatusCode::CONFLICT,
                CacheError::Store(_) | CacheError::Read(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, Json(serde_json::json!({ "error": error.to_string() }))).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // it panicked, and said so
    }
}
