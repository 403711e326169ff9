//! Connections to the mirror: HTTP/1.1, each with an outlet for files.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Mirror;
use super::outlet::Socket;

/// With no descriptor left, accepting is tried again after so long.
const BREATHE: Duration = Duration::from_millis(200);

/// Answers whoever comes until `token` is cancelled; then takes nobody more, and ends when all
/// answers have ended. Bytes that are sent straight from files are counted in `from_files`.
pub async fn serve(
    listener: TcpListener,
    mirror: Mirror,
    token: CancellationToken,
    from_files: Counter,
) {
    let connections = TaskTracker::new();
    while let Some(accepted) = token.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let socket = Socket::new(stream, from_files.clone());
                connections.spawn(connection(socket, mirror.clone(), token.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
    drop(listener); // whoever comes now is told at once that nobody is here
    connections.close();
    connections.wait().await;
}

async fn connection(socket: Socket, mirror: Mirror, token: CancellationToken) {
    let outlet = socket.outlet();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (mirror, outlet) = (mirror.clone(), outlet.clone());
        async move { Ok::<_, Infallible>(mirror.handle(request, &outlet).await) }
    });
    let mut serving =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    let ended = match token.run_until_cancelled(serving.as_mut()).await {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
