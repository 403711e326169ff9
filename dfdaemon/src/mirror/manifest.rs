//! Manifests: tags are always asked upstream; what a digest names is kept.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use content::Digest;
use registry::Reference;

use super::error::{add_header, failed};
use super::{Mirror, named, unchanged};
use crate::gateway::{Asked, ManifestReply};

impl Mirror {
    /// A manifest that is here, and fresh for this client.
    pub(super) fn warm_manifest(
        &self,
        asked: &Asked,
        digest: &Digest,
        head: bool,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        let manifest = self.gateway.fresh_manifest(asked, digest)?;
        Some(answer(manifest, head, headers))
    }

    pub(super) async fn manifest(
        &self,
        asked: Asked,
        reference: Reference,
        head: bool,
        headers: &HeaderMap,
    ) -> Response<Body> {
        let accept = accepted(headers);
        match self.gateway.manifest(&asked, reference, head, accept).await {
            Ok(manifest) => answer(manifest, head, headers),
            Err(failure) => failed(failure, "MANIFEST_UNKNOWN"),
        }
    }
}

fn answer(manifest: ManifestReply, head: bool, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    named(&mut response, &manifest.digest, &manifest.media_type);
    for told in &manifest.headers {
        if !OWN.contains(&told.name.to_ascii_lowercase().as_str()) {
            add_header(response.headers_mut(), &told.name, &told.value);
        }
    }
    if unchanged(headers, &manifest.digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, manifest.length.into());
    if !head {
        *response.body_mut() = Body::from(manifest.body.unwrap_or_default());
    }
    response
}

/// Headers that we set ourselves, whatever the registry said.
const OWN: [&str; 5] =
    ["etag", "content-type", "content-length", "docker-content-digest", "x-request-id"];

/// The media types that the client takes: clients send one line with all, or a line for each.
fn accepted(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|kind| kind.trim().to_owned())
        .filter(|kind| !kind.is_empty())
        .take(64)
        .collect()
}
