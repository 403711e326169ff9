//! HTTP/1.1 for container engines, and nothing else.
//!
//! A stream of HTTP/2 that fails ends by a reset, after which containerd gives a pull up; a
//! connection of HTTP/1.1 ends in order, and containerd resumes. `axum::serve` cannot be told so: it
//! speaks whatever any crate of the program has switched on.

use std::convert::Infallible;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mirror::Mirror;
use crate::mirror::outlet::Socket;

/// A connection's next request comes within this time. Clients let go of idle connections earlier
/// (Go after 90 s), so that none is closed under a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(120);

/// How long accepting pauses when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets `mirror` answer until `stop`; requests that are being answered then are answered to their
/// end. Bytes that the kernel sends straight from files are counted in `from_files`.
pub(crate) async fn serve(
    listener: TcpListener,
    mirror: Mirror,
    stop: CancellationToken,
    from_files: Counter,
) {
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let socket = Socket::new(stream, from_files.clone());
                connections.spawn(converse(socket, mirror.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be let in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener); // whoever comes now is told at once that nobody is here
    connections.close();
    connections.wait().await;
}

async fn converse(socket: Socket, mirror: Mirror, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    let outlet = socket.outlet();
    let service = service_fn(|request| {
        let (mirror, outlet) = (mirror.clone(), outlet.clone());
        async move { Ok::<_, Infallible>(mirror.handle(request, &outlet).await) }
    });
    let mut conversation = std::pin::pin!(http.serve_connection(TokioIo::new(socket), service));
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
