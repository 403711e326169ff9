//! A task, or the asked part of it, as an HTTP answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use peer::{Eagerness, Engine, LiveTask, Reader, Source};
use store::Ready;
use wire::control::Priority;

use super::error::{OciError, add_header};
use super::range::{self, Part};

/// Answers a GET of a task whose entity tag is `name`, as its `Range` wants it.
pub(crate) fn ranged(
    engine: &Engine,
    live: &Arc<LiveTask>,
    headers: &HeaderMap,
    name: &str,
    request_id: String,
) -> Response<Body> {
    let length = live.layout().length();
    let part = range::read(asked_range(headers, name), length);
    let Some(bytes) = part.bytes(length) else { return unsatisfiable(length) };
    let open = matches!(part, Part::Some { open: true, .. });
    let eagerness = if open { Eagerness::Window } else { Eagerness::All };
    let reader = engine.read(live, bytes, Priority::Pull, eagerness);
    described(&part, length, name, streamed(reader, request_id))
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
    let answer = response.headers_mut();
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    add_header(answer, "etag", &format!("\"{name}\""));
    let mut count = length;
    if let Part::Some { bytes, .. } = part {
        let told = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
        add_header(answer, "content-range", &told);
        count = bytes.end - bytes.start;
    }
    answer.insert(header::CONTENT_LENGTH, count.into());
    if matches!(part, Part::Some { .. }) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
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

/// The reader as a body. An error ends the body short of its announced length, and the connection
/// with it, in order: the client resumes, or takes the rest elsewhere.
fn streamed(reader: Reader, request_id: String) -> Body {
    Body::from_stream(stream::unfold(Some((reader, request_id)), |state| async {
        let (mut reader, request_id) = state?;
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((reader, request_id)))),
            Ok(None) => None,
            Err(failure) => {
                tracing::warn!(request = %request_id, error = %failure, "a blob ends short");
                Some((Err(failure), None))
            }
        }
    }))
}
