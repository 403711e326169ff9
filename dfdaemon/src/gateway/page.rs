//! A page of tags or referrers.

use peer::Failure;
use registry::Page;
use wire::request::{Asks, Kind, Paged, Said};

use super::{Asked, Gateway};

impl Gateway {
    /// A page of tags or referrers.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn page(&self, asked: &Asked, page: Page) -> Result<Said, Failure> {
        let mut ask =
            wire::request::Page { place: Some(asked.place()), ..wire::request::Page::default() };
        match &page {
            Page::Tags { n, last, more } => {
                ask.n = *n;
                ask.last.clone_from(last);
                ask.more.clone_from(more);
            }
            Page::Referrers { digest, artifact_type, more } => {
                ask.referrers_of = Some(digest.to_string());
                ask.artifact_type.clone_from(artifact_type);
                ask.more.clone_from(more);
            }
        }
        match self.link.ask::<Paged>(&asked.request_id, Asks::Page(ask)).await {
            Ok(Paged { failure: Some(failure), .. }) => Err(failure.into()),
            Ok(told) => {
                told.said.ok_or_else(|| Failure::new(Kind::Invalid, "the supernode said nothing"))
            }
            Err(_) => self.search.lone.page(asked, &page).await,
        }
    }
}
