//! Pages of tags and referrers: handed through, in the caller's name, and never kept.

use content::Digest;
use peer::Failure;
use wire::request::{Kind, Page, Paged, Said};

use super::{Answers, Asked};

impl Answers {
    /// Asks the registry for a page.
    pub async fn page(&self, request_id: &str, ask: Page) -> Paged {
        match self.paged(ask).await {
            Ok(said) => Paged { failure: None, said: Some(said) },
            Err(failure) => {
                tracing::info!(request = %request_id, error = %failure, "a page is not to be had");
                Paged { failure: Some(failure.into()), said: None }
            }
        }
    }

    async fn paged(&self, ask: Page) -> Result<Said, Failure> {
        let asked = Asked::read(ask.place)?;
        let page = match ask.referrers_of {
            Some(digest) => registry::Page::Referrers {
                digest: digest
                    .parse::<Digest>()
                    .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?,
                artifact_type: ask.artifact_type,
                more: ask.more,
            },
            None => registry::Page::Tags { n: ask.n, last: ask.last, more: ask.more },
        };
        let passed =
            self.access.registries().get_page(&asked.repository, &page, &asked.caller).await?;
        Ok(peer::failure::passed(passed))
    }
}
