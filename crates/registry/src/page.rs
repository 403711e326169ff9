//! Lists that are passed through: tags and referrers, a page at a time.

use bytes::Bytes;
use content::Digest;
use http::Method;
use http::header::CONTENT_TYPE;
use url::Url;

use crate::call::Call;
use crate::credential::Caller;
use crate::door::Ask;
use crate::error::Error;
use crate::handed_on;
use crate::names::Repository;
use crate::registries::Registries;

/// The largest page that is taken.
const LARGEST_PAGE: u64 = 4 * 1024 * 1024;

/// Which page is asked for.
///
/// `more` is the rest of the query, form-encoded: a registry's link to the next page may hold
/// parameters of its own, without which there is no next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// The repository's tags.
    Tags {
        /// At most so many.
        n: Option<u32>,
        /// Those after this one.
        last: Option<String>,
        /// More parameters.
        more: String,
    },
    /// The manifests that refer to another.
    Referrers {
        /// The other's digest.
        digest: Digest,
        /// Only those of this type.
        artifact_type: Option<String>,
        /// More parameters.
        more: String,
    },
}

/// A page as the registry sent it.
#[derive(Debug, Clone)]
pub struct Passed {
    /// 200.
    pub status: u16,
    /// The body's media type, with its parameters.
    pub content_type: Option<String>,
    /// Headers for the client, names in lower case. `link` names the next page as the registry
    /// would be asked for it.
    pub headers: Vec<(String, String)>,
    /// The page.
    pub body: Bytes,
}

impl Registries {
    /// Asks for one page.
    ///
    /// # Errors
    /// [`Error::Refused`] with the registry's own words, and all that can befall a connection.
    pub async fn get_page(
        &self,
        repository: &Repository,
        page: &Page,
        caller: &Caller,
    ) -> Result<Passed, Error> {
        let call = self.call(repository, caller)?;
        let ask = Ask::new(Method::GET, page.url(&call));
        let whole = call.whole(&ask, &[200], "the list", LARGEST_PAGE);
        let (reply, body) = whole.await?;
        Ok(Passed {
            status: reply.status(),
            content_type: reply.header(&CONTENT_TYPE).map(str::to_owned),
            headers: handed_on::of_answer(reply.headers()),
            body,
        })
    }
}

impl Page {
    fn url(&self, call: &Call<'_>) -> Url {
        let (mut url, parameters, more) = match self {
            Self::Tags { n, last, more } => (
                call.url("tags", "list"),
                [("n", n.map(|n| n.to_string())), ("last", last.clone())],
                more,
            ),
            Self::Referrers { digest, artifact_type, more } => (
                call.url("referrers", &digest.to_string()),
                [("artifactType", artifact_type.clone()), ("", None)],
                more,
            ),
        };
        for (name, value) in parameters {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        if !more.is_empty() {
            let more = url::form_urlencoded::parse(more.as_bytes());
            url.query_pairs_mut().extend_pairs(more);
        }
        url
    }
}
