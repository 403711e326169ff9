//! HTTP/1.1 for container engines, and nothing else.
//!
//! A stream of HTTP/2 that fails ends by a reset, after which containerd gives a pull up; a
//! connection of HTTP/1.1 ends in order, and containerd resumes. `axum::serve` cannot be told so: it
//! speaks whatever any crate of the program has switched on.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection's next request comes within this time. Clients let go of idle connections earlier
/// (Go after 90 s), so that none is closed under a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(120);

/// How long accepting pauses when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` until `stop`; requests that are being answered then are answered to their end.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, routes.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be let in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, routes: Router, stop: CancellationToken) {
    // An answer's head must not wait for its body.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    let routes = TowerToHyperService::new(routes);
    let mut conversation = std::pin::pin!(http.serve_connection(TokioIo::new(stream), routes));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
