//! Blobs: a stream that ends complete only if the SHA-256 matched.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use content::Digest;

use super::error::{OciError, failed};
use super::{Mirror, body, named, unchanged};
use crate::gateway::Asked;

impl Mirror {
    pub(super) async fn blob(
        &self,
        asked: Asked,
        digest: Digest,
        head: bool,
        headers: &HeaderMap,
    ) -> Response<Body> {
        let name = digest.to_string();
        let ended_short = self.gateway.ended_short(digest, body::resumes(headers, &name));
        if !head && ended_short {
            return OciError::new(
                StatusCode::BAD_GATEWAY,
                "UNKNOWN",
                "what came of this blob a moment ago ended short: take it elsewhere",
            )
            .response();
        }
        let opened = if head {
            self.gateway.facts(&asked, digest).await
        } else {
            self.gateway.open(&asked, digest).await
        };
        let live = match opened {
            Ok(live) => live,
            Err(failure) => return failed(failure, "BLOB_UNKNOWN"),
        };
        let mut response = if unchanged(headers, &name) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else if head {
            let mut response = Response::new(Body::empty());
            let answer = response.headers_mut();
            answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            answer.insert(header::CONTENT_LENGTH, live.layout().length().into());
            response
        } else {
            body::ranged(&self.gateway, &live, headers, &name, asked.request_id)
        };
        if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            named(&mut response, &name, "application/octet-stream");
        }
        response
    }
}
