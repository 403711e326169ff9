//! Answers the requests of one connection.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// Answers requests over `socket` until its client goes, is silent for too long, or `stop`: a request
/// that is being answered then is answered to its end.
pub async fn converse<S, F, B>(
    socket: S,
    limits: Limits,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.request_within);
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut conversation = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        let cause = error.source().map(ToString::to_string);
        tracing::debug!(%error, cause, "a client's connection ended early");
    }
}
