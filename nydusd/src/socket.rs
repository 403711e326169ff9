//! HTTP/1.1 over a unix socket for root only: how a process that serves mounts is asked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use web::{Limits, converse};

/// Who says nothing stays connected for a century: nobody but root comes here, and the snapshotter
/// takes the end of such a connection for our death.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Opens the socket; what a killed process left is replaced. The caller knows that nobody listens.
///
/// # Errors
/// If it cannot be made.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    // It gets its name when somebody listens, and is nobody else's: who waits for it comes at once.
    let unnamed = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&unnamed);
    let listener = UnixListener::bind(&unnamed)?;
    std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unnamed, path)?;
    Ok(listener)
}

/// Answers whoever comes to `listener`, until `stop`.
pub async fn serve<F>(
    listener: UnixListener,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let limits = Limits { connections: 64, request_within: CENTURY };
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (answer, stop) = (answer.clone(), stop.clone());
        tokio::spawn(async move { converse(stream, limits, stop, answer).await });
    }
}

/// An answer without a body.
#[must_use]
pub fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// An answer with a body.
#[must_use]
pub fn json(code: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut response = status(code);
    *response.body_mut() = Full::from(serde_json::to_vec(value).unwrap_or_default());
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
