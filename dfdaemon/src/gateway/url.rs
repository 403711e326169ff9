//! A file that is named by a URL, for `dfget`.

use std::sync::Arc;

use content::Digest;
use peer::{Failure, LiveTask};
use wire::request::{Asks, Kind, OpenUrl, Opened};

use super::Gateway;

impl Gateway {
    /// A URL, for `dfget`: only a supernode can name it, so without one there is nothing to share.
    ///
    /// # Errors
    /// Why it cannot be had through the swarm.
    pub async fn open_url(
        &self,
        request_id: &str,
        url: &str,
        digest: Option<Digest>,
    ) -> Result<Arc<LiveTask>, Failure> {
        let ask = Asks::OpenUrl(OpenUrl {
            url: url.to_owned(),
            digest: digest.map(|digest| digest.to_string()),
        });
        let opened = self
            .link
            .ask::<Opened>(request_id, ask)
            .await
            .map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        if let Some(failure) = opened.failure {
            return Err(failure.into());
        }
        let statements: Vec<_> = opened.statements.into_iter().map(Into::into).collect();
        let live = self.engine.open(&statements)?;
        self.search.tickets.keep(opened.ticket, &self.engine.verifier());
        self.link.attempt(live.id(), opened.attempt);
        self.engine.hash(&live, digest);
        self.link.introduced(live.id());
        Ok(live)
    }
}
