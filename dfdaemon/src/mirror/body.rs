//! A task, or the asked part of it, as an HTTP answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use content::TaskId;
use futures_util::stream;
use peer::{Eagerness, Engine, Failure, LiveTask, Reader, Source};
use store::Ready;
use wire::control::Priority;
use wire::request::Kind;

use super::error::{OciError, add_header};
use super::range::{self, Part};
use super::short::Short;
use crate::gateway::Gateway;

/// Answers a GET of a task whose entity tag is `name`, as its `Range` wants it; `priority` is how
/// urgently.
pub(crate) fn ranged(
    gateway: &Arc<Gateway>,
    live: &Arc<LiveTask>,
    headers: &HeaderMap,
    name: &str,
    priority: Priority,
    request_id: String,
) -> Response<Body> {
    let length = live.layout().length();
    let part = range::read(asked_range(headers, name), length);
    let Some(bytes) = part.bytes(length) else { return unsatisfiable(length) };
    let open = matches!(part, Part::Some { open: true, .. });
    let eagerness = if open { Eagerness::Window } else { Eagerness::All };
    let reader = gateway.engine().read(live, bytes, priority, eagerness);
    let gateway = Arc::clone(gateway);
    let answer = Answer { reader, gateway, task: live.id(), begun: false, request_id };
    described(&part, length, name, answer.streamed())
}

/// [`ranged`] for a range that needs no reader: the task is whole, and all of the range was
/// verified in this run. `None` if it is not so.
pub(super) fn warm(
    engine: &Engine,
    live: &Arc<LiveTask>,
    headers: &HeaderMap,
    name: &str,
    body: impl FnOnce(Ready) -> Body,
) -> Option<Response<Body>> {
    let length = live.layout().length();
    let part = range::read(asked_range(headers, name), length);
    let bytes = part.bytes(length).filter(|_| live.is_whole())?;
    // What the disk refuses is for the reader to tell.
    let ready = live.stored().ready(bytes.clone()).ok().flatten()?;
    engine.metrics().received(Source::Store, bytes.end - bytes.start);
    Some(described(&part, length, name, body(ready)))
}

/// The answer's head for `part` of `length` bytes.
fn described(part: &Part, length: u64, name: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let mut count = length;
    if let Part::Some { bytes, .. } = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let told = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
        add_header(response.headers_mut(), "content-range", &told);
        count = bytes.end - bytes.start;
    }
    let answer = response.headers_mut();
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(header::CONTENT_LENGTH, count.into());
    add_header(answer, "etag", &format!("\"{name}\""));
    response
}

/// Whether a request asks for the rest of something, and not for all of it.
pub(crate) fn resumes(headers: &HeaderMap, name: &str) -> bool {
    let part = range::read(asked_range(headers, name), u64::MAX);
    matches!(part, Part::Some { bytes, .. } if bytes.start > 0)
}

/// The range asked for, unless it is bound (`If-Range`) to other bytes than these.
fn asked_range<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let bound = headers.get(header::IF_RANGE).and_then(|value| value.to_str().ok());
    if bound.is_some_and(|tag| tag.trim_matches('"') != name) {
        return None;
    }
    headers.get(header::RANGE)?.to_str().ok()
}

fn unsatisfiable(length: u64) -> Response<Body> {
    let error = OciError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "SIZE_INVALID",
        format!("there are {length} bytes"),
    );
    let mut response = error.response();
    add_header(response.headers_mut(), "content-range", &format!("bytes */{length}"));
    response
}

/// An answer under way.
struct Answer {
    reader: Reader,
    gateway: Arc<Gateway>,
    task: TaskId,
    /// Whether a byte was sent.
    begun: bool,
    request_id: String,
}

impl Answer {
    /// The reader as a body. An error ends the body short of its announced length, and the
    /// connection with it, in order: the client resumes, or takes the rest elsewhere.
    fn streamed(self) -> Body {
        Body::from_stream(stream::unfold(Some(self), |answer| async {
            let mut answer = answer?;
            match answer.reader.next().await {
                Ok(Some(bytes)) => {
                    answer.begun = true;
                    Some((Ok(bytes), Some(answer)))
                }
                Ok(None) => None,
                Err(failure) => {
                    answer.ends_short(&failure);
                    // An error drops what hyper has buffered; a pause lets it go out first.
                    tokio::task::yield_now().await;
                    Some((Err(failure), None))
                }
            }
        }))
    }

    fn ends_short(&self, failure: &Failure) {
        tracing::warn!(request = %self.request_id, error = %failure, "a blob ends short");
        let short = match failure.kind {
            _ if !self.begun => Short::Empty,
            Kind::Mismatch => Short::Wrong,
            _ => return,
        };
        self.gateway.short_ends().note(self.task, short);
    }
}
