//! Tags and referrers: handed through.

use axum::body::Body;
use axum::http::Response;
use content::Digest;

use super::Mirror;
use super::error::{failed, hand_on};
use super::route::TagsPage;
use crate::gateway::Asked;

impl Mirror {
    pub(super) async fn tags(&self, asked: Asked, page: TagsPage) -> Response<Body> {
        let page = registry::Page::Tags { n: page.n, last: page.last };
        self.page(asked, page).await
    }

    pub(super) async fn referrers(
        &self,
        asked: Asked,
        digest: Digest,
        artifact_type: Option<String>,
    ) -> Response<Body> {
        let page = registry::Page::Referrers { digest, artifact_type };
        self.page(asked, page).await
    }

    async fn page(&self, asked: Asked, page: registry::Page) -> Response<Body> {
        match self.gateway.page(&asked, page).await {
            Ok(said) => hand_on(said),
            Err(failure) => failed(failure, "NAME_UNKNOWN"),
        }
    }
}
