//! The pages that every daemon has: `/healthz`, `/readyz`, `/metrics`. They change nothing, and show
//! no image's name.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use telemetry::health::Health;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Limits, converse, listen};

/// What the pages show. Clones show the same.
#[derive(Clone, Debug)]
pub struct Status {
    metrics: Arc<Metrics>,
    health: Health,
}

impl Status {
    /// Of a process with these metrics and conditions.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>, health: Health) -> Self {
        Self { metrics, health }
    }

    /// Shows the pages to whoever comes to `listener`, until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let limits = Limits::status();
        let ending = stop.clone();
        listen(listener, limits, stop, |stream| {
            let (status, stop) = (self.clone(), ending.clone());
            async move {
                let answer = async |request: Request<_>| status.answer(&request);
                converse(stream, limits, stop, answer).await;
            }
        })
        .await;
    }

    /// The page that is asked for.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned());
        }
        match request.uri().path() {
            "/healthz" => page(StatusCode::OK, "text/plain", "ok\n".to_owned()),
            "/readyz" => {
                let (ready, conditions) = self.health.ready();
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                page(status, "application/json", conditions.to_string())
            }
            "/metrics" => {
                page(StatusCode::OK, telemetry::metrics::CONTENT_TYPE, self.metrics.encode())
            }
            _ => {
                let pages = "there are /healthz, /readyz and /metrics\n";
                page(StatusCode::NOT_FOUND, "text/plain", pages.to_owned())
            }
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::from(text));
    *page.status_mut() = status;
    page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    page
}
