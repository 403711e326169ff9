//! How a registry with a fault gives a blob.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::link::Link;
use super::{Body, Fault, plain};

/// A blob, or what the fault makes of it.
pub(super) fn blob_answer(
    blob: &Bytes,
    fault: &Fault,
    link: &Link,
    range: Option<&str>,
) -> Response<Body> {
    match fault {
        Fault::Status(status) => {
            return plain(
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            );
        }
        Fault::Redirect(target) => {
            let mut response = plain(StatusCode::TEMPORARY_REDIRECT);
            if let Ok(target) = target.parse() {
                response.headers_mut().insert("location", target);
            }
            return response;
        }
        _ => {}
    }
    let start = range
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
        .unwrap_or(0usize)
        .min(blob.len());
    let mut body = blob.slice(start..);
    let flipped = matches!(fault, Fault::FlippedBit | Fault::FlippedSlowly(_));
    if flipped && blob.len() > 1000 {
        let mut wrong = body.to_vec();
        if let Some(byte) = wrong.last_mut() {
            *byte ^= 1;
        }
        body = wrong.into();
    }
    let length = body.len();
    let mut response = Response::new(streamed(body, fault.clone(), link.clone()));
    response.headers_mut().insert("content-length", length.into());
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let told = format!("bytes {start}-{}/{}", blob.len().saturating_sub(1), blob.len());
        if let Ok(told) = told.parse() {
            response.headers_mut().insert("content-range", told);
        }
    }
    response
}

/// So much is sent at once.
pub(super) const PART: usize = 16 * 1024;

fn streamed(body: Bytes, fault: Fault, link: Link) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut sent = 0;
        for start in (0..body.len()).step_by(PART) {
            let part = body.slice(start..(start + PART).min(body.len()));
            match fault {
                Fault::CutAfter(limit) | Fault::Tokens { bytes: limit, .. } if sent >= limit => {
                    let cut = std::io::Error::other("cut off, as the test wants it");
                    let _ = sender.send(Err(cut)).await;
                    return;
                }
                Fault::Slow(rate) | Fault::FlippedSlowly(rate) => {
                    let pause = part.len() as f64 / rate as f64;
                    tokio::time::sleep(Duration::from_secs_f64(pause)).await;
                }
                Fault::Narrow(rate) => link.pass(part.len(), rate).await,
                _ => {}
            }
            sent += part.len();
            if sender.send(Ok(Frame::data(part))).await.is_err() {
                return;
            }
        }
    });
    BodyExt::boxed(StreamBody::new(Receiver(receiver)))
}

/// The receiving end of a channel as a stream.
struct Receiver(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

impl futures_util::Stream for Receiver {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
