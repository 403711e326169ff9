//! Redirects, followed by hand: every hop is checked, and secrets do not travel.

use http::header::LOCATION;
use url::Url;

use crate::door::{Ask, Door};
use crate::error::Error;
use crate::reply::Reply;
use crate::sites::Sites;
use crate::url_prefix::{is_plain, same_origin};

const MOST_HOPS: usize = 10;

/// The way to an upstream, and from there to wherever it redirects.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) sites: &'a Sites,
    /// The endpoint that was configured: where private headers go.
    pub(crate) home: &'a Url,
    /// Leads to `home`.
    pub(crate) near: &'a Door,
    /// Leads to where nobody in particular has allowed us to go.
    pub(crate) far: &'a Door,
    /// Whether plain HTTP is fine.
    pub(crate) http: bool,
}

impl<'a> Route<'a> {
    /// Sends `ask`, and follows redirects.
    pub(crate) async fn fetch(&self, ask: &Ask) -> Result<Reply, Error> {
        let mut url = ask.url.clone();
        // Once left, home is not trusted again: somebody else chose what it is asked.
        let mut at_home = same_origin(&url, self.home);
        for _ in 0..=MOST_HOPS {
            let reply = self.door(&url).send(ask, &url, at_home).await?;
            if !matches!(reply.status(), 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            url = self.target(&url, reply.header(&LOCATION))?;
            at_home = at_home && same_origin(&url, self.home);
            reply.discard().await;
        }
        Err(denied(&url, "too many in a row"))
    }

    /// Sends `ask`; a redirect is an answer like any other.
    pub(crate) async fn fetch_here(&self, ask: &Ask) -> Result<Reply, Error> {
        self.door(&ask.url).send(ask, &ask.url, true).await
    }

    fn door(&self, url: &Url) -> &'a Door {
        if same_origin(url, self.home) {
            return self.near;
        }
        self.sites.known_door(url).unwrap_or(self.far)
    }

    /// Where `location`, told by `from`, may lead us.
    pub(crate) fn target(&self, from: &Url, location: Option<&str>) -> Result<Url, Error> {
        let to = location.and_then(|location| from.join(location).ok());
        let Some(mut to) = to.filter(is_plain) else {
            return Err(denied(from, "it names no URL that could be fetched"));
        };
        if to.scheme() == "http" && !self.http {
            return Err(denied(from, "it leads to plain HTTP"));
        }
        if self.sites.is_foreign_proxy(&to) {
            return Err(denied(from, "it leads to our own proxy"));
        }
        to.set_fragment(None);
        Ok(to)
    }
}

fn denied(from: &Url, why: &'static str) -> Error {
    Error::RedirectDenied { host: from.host_str().unwrap_or_default().to_owned(), why }
}
