//! Lets connections in, as many at a time as are allowed.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long accepting pauses when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// What a port's clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. Who comes then waits in the system's queue until one ends.
    pub connections: usize,
    /// A connection's first request, and each next one, has its head here within this time.
    pub request_within: Duration,
}

impl Limits {
    /// For a port that programs on this machine, probes and Prometheus ask.
    #[must_use]
    pub const fn status() -> Self {
        Self { connections: 64, request_within: Duration::from_secs(30) }
    }
}

/// Runs `each` for every connection, until `stop`; then waits until all of them have ended.
pub async fn listen<F>(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
    each: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (connections, room) = (TaskTracker::new(), Arc::new(Semaphore::new(limits.connections)));
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &room)).await {
        match accepted {
            Ok((stream, place)) => {
                let conversation = each(stream);
                connections.spawn(async move {
                    conversation.await;
                    drop(place);
                });
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

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
