//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use telemetry::logs;

use super::asked::{Asked, MOST, Numbers};
use super::daemon::Daemon;
use super::refused::Refused;
use super::told;
use crate::socket;

/// Why descriptors are not handed over.
const NO_HANDOVER: &str = "descriptors are not handed over: use the recover policy `restart`";

/// Answers a request.
pub(super) async fn answer(
    request: Request<Incoming>,
    daemon: Arc<Daemon>,
) -> Response<Full<Bytes>> {
    if request.uri().path() == "/metrics" {
        return pages(request, daemon).await;
    }
    let (parts, body) = request.into_parts();
    let done = match Limited::new(body, MOST).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            // Mounting reads files: not in a thread that others need.
            let done = tokio::task::spawn_blocking(move || {
                let asked = Asked::read(&parts.method, parts.uri.path(), parts.uri.query(), &body)?;
                done(&daemon, asked)
            });
            done.await.unwrap_or_else(|error| Err(Refused::Failed(error.to_string())))
        }
        Err(_) => Err(Refused::Bad(format!("a body has at most {MOST} bytes"))),
    };
    match done {
        Ok(Some(value)) => socket::json(StatusCode::OK, &value),
        Ok(None) => socket::status(StatusCode::NO_CONTENT),
        Err(refused) => socket::json(refused.status(), &refused.told()),
    }
}

/// What Prometheus is shown; nothing before the first mount.
async fn pages(request: Request<Incoming>, daemon: Arc<Daemon>) -> Response<Full<Bytes>> {
    // Counting what is there reads files.
    let shown = tokio::task::spawn_blocking(move || Some(daemon.pages()?.answer(&request)));
    let shown = shown.await.ok().flatten();
    shown.unwrap_or_else(|| socket::status(StatusCode::NO_CONTENT))
}

/// Does what is asked; what is told, if anything.
fn done(daemon: &Daemon, asked: Asked) -> Result<Option<Value>, Refused> {
    match asked {
        Asked::Daemon => return Ok(Some(told::daemon(daemon))),
        Asked::DaemonV2 => return Ok(Some(told::daemon_v2(daemon))),
        Asked::Metrics(numbers, id) => return metrics(daemon, numbers, id.as_deref()).map(Some),
        Asked::Inflight => return Ok(told::inflight(&daemon.waiting())),
        Asked::Config(id) => {
            daemon.used(id.as_deref())?;
            return Ok(Some(json!({})));
        }
        Asked::Backend(id) => return daemon.superblock(&id).map(Some),
        Asked::Events => return Ok(Some(told::events::events(logs::recent()))),
        Asked::Level(level) => daemon.log(&level)?,
        Asked::Start => daemon.start()?,
        Asked::Exit => daemon.end.cancel(),
        Asked::SendFd | Asked::TakeOver | Asked::Resend => {
            return Err(Refused::Unsupported(NO_HANDOVER));
        }
        Asked::Mount(asked) => daemon.mount(&asked)?,
        Asked::Remount(asked) => daemon.remount(&asked)?,
        Asked::Umount(id) => daemon.umount(&id)?,
        Asked::Renew(id, renewal) => daemon.renew(id.as_deref(), &renewal)?,
    }
    Ok(None)
}

fn metrics(daemon: &Daemon, numbers: Numbers, id: Option<&str>) -> Result<Value, Refused> {
    let used = daemon.used(id)?;
    Ok(match numbers {
        Numbers::Reads => told::reads(&used),
        Numbers::Cache => told::cache(&used),
        Numbers::Registry => told::registry(&used),
        Numbers::Files => told::files::files(used.traffic.as_deref()),
        Numbers::Latest => told::files::latest(used.traffic.as_deref()),
        Numbers::Pattern => told::files::pattern(used.traffic.as_deref()),
    })
}
