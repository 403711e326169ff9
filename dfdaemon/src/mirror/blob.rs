//! Blobs: a stream that ends complete only if the SHA-256 matched.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use content::Digest;
use wire::control::Priority;

use super::error::{OciError, failed};
use super::outlet::Outlet;
use super::{Mirror, body, named, unchanged, warm};
use crate::gateway::Asked;

impl Mirror {
    /// A blob that is here whole, verified in this run, and fresh for this client.
    pub(super) fn warm_blob(
        &self,
        asked: &Asked,
        digest: Digest,
        headers: &HeaderMap,
        outlet: &Outlet,
    ) -> Option<Response<Body>> {
        let live = self.gateway.fresh(asked, digest)?;
        let name = digest.to_string();
        if unchanged(headers, &name) {
            return None;
        }
        let mut response = body::warm(self.gateway.engine(), &live, headers, &name, |ready| {
            warm::body(ready, outlet.clone(), asked.request_id.clone())
        })?;
        named(&mut response, &name, "application/octet-stream");
        Some(response)
    }

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
            body::ranged(&self.gateway, &live, headers, &name, Priority::Pull, asked.request_id)
        };
        if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            named(&mut response, &name, "application/octet-stream");
        }
        response
    }
}
