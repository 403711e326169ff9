//! Tags and referrers: handed through, but for the link to the next page, which leads through the
//! mirror too.

use axum::body::Body;
use axum::http::{Response, Uri};
use registry::Page;
use wire::request::Header;

use super::error::{failed, hand_on};
use super::{Mirror, link};
use crate::gateway::Asked;

impl Mirror {
    /// Answers with the page that `uri` asked for.
    pub(super) async fn page(&self, asked: Asked, page: Page, uri: &Uri) -> Response<Body> {
        match self.gateway.page(&asked, page).await {
            Ok(mut said) => {
                said.headers =
                    said.headers.into_iter().filter_map(|told| here(told, uri)).collect();
                hand_on(said)
            }
            Err(failure) => failed(failure, "NAME_UNKNOWN"),
        }
    }
}

/// A header as our client needs it.
fn here(mut told: Header, uri: &Uri) -> Option<Header> {
    if told.name.eq_ignore_ascii_case("link") {
        told.value = link::through_us(&told.value, uri.path(), uri.query())?;
    }
    Some(told)
}
