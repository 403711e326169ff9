//! Health and metrics over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use telemetry::health::Health;
use telemetry::metrics::Metrics;

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    health: Health,
}

/// The routes.
pub fn routes(metrics: Arc<Metrics>, health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Shown { metrics, health })
}

async fn ready(State(shown): State<Shown>) -> Response {
    let (ready, conditions) = shown.health.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "application/json")], conditions.to_string()).into_response()
}

async fn scrape(State(shown): State<Shown>) -> Response {
    ([(CONTENT_TYPE, telemetry::metrics::CONTENT_TYPE)], shown.metrics.encode()).into_response()
}
