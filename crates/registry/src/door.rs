//! One HTTP exchange: a client whose connections obey one address policy and one set of
//! certificate authorities.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use url::Url;

use crate::USER_AGENT;
use crate::address::Reach;
use crate::config::RegistriesConfig;
use crate::error::{ConfigError, Error};
use crate::on_behalf::{RequestId, X_REQUEST_ID};
use crate::proxy::Proxies;
use crate::reply::Reply;
use crate::resolver::{Denied, Resolver};
use crate::sent::Sent;
use crate::tls::Trust;

/// A request as it is first sent.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Sent wherever redirects lead.
    pub(crate) headers: HeaderMap,
    /// Sent to the first host only: `Authorization` and whatever else may be secret.
    pub(crate) private: HeaderMap,
    pub(crate) body: Option<Sent>,
}

impl Ask {
    /// A request without a body, on behalf of whoever the running task works for.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        let id = RequestId::current().map(|id| (X_REQUEST_ID, id.header()));
        let private = id.into_iter().collect();
        Self { method, url, headers: HeaderMap::new(), private, body: None }
    }
}

/// An HTTP client and what it may reach.
pub(crate) struct Door {
    client: reqwest::Client,
    reach: Reach,
    connect_timeout: Duration,
    read_timeout: Duration,
}

impl Door {
    /// Sends `ask` to `url`, which is its own or where a redirect led; the private headers only
    /// `at_home`. Follows no redirect.
    pub(crate) async fn send(&self, ask: &Ask, url: &Url, at_home: bool) -> Result<Reply, Error> {
        self.reach.check_url(url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut headers = ask.headers.clone();
        if at_home {
            headers.extend(ask.private.clone());
        }
        // A compressed body would have another length and digest than what was asked for.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = self.client.request(ask.method.clone(), url.clone());
        let mut patience = Duration::ZERO;
        if let Some(sent) = &ask.body {
            headers.insert(CONTENT_TYPE, sent.media_type());
            headers.insert(CONTENT_LENGTH, sent.length().into());
            request = request.body(sent.body());
            patience = sent.patience();
        }
        // The connection has a limit of its own, so what is left is the upstream's silence.
        let limit = self.connect_timeout.saturating_add(self.read_timeout).saturating_add(patience);
        let response = match tokio::time::timeout(limit, request.headers(headers).send()).await {
            Ok(sent) => sent.map_err(|e| translate(&host, &e))?,
            Err(_) => {
                let during = "an answer was awaited";
                return Err(Error::Timeout { host, during });
            }
        };
        let status = response.status().as_u16();
        // Not the query: it may hold what opens a door.
        tracing::debug!(%host, method = %ask.method, path = url.path(), status, "upstream answered");
        Reply::new(host, at_home, response, self.read_timeout)
    }
}

/// The HTTP library's error as one of ours. Its own text would quote the URL, so that only the
/// innermost cause is told.
pub(crate) fn translate(host: &str, error: &reqwest::Error) -> Error {
    let host = host.to_owned();
    let mut cause: &(dyn StdError + 'static) = error;
    loop {
        if let Some(Denied { host, address }) = find::<Denied>(cause) {
            let (host, address) = (host.clone(), *address);
            return Error::AddressDenied { host, address };
        }
        if let Some(tls) = find::<rustls::Error>(cause) {
            let what = tls.to_string();
            return Error::Tls { host, what };
        }
        let Some(inner) = cause.source() else { break };
        cause = inner;
    }
    if error.is_timeout() {
        let during = "a connection was made";
        return Error::Timeout { host, during };
    }
    let what = match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request failed".to_owned(),
        None => cause.to_string(),
    };
    Error::Network { host, what }
}

/// `cause` as a `T`, or the `T` inside it if it is an I/O error, however often wrapped (the
/// `source` of an I/O error skips what it wraps).
fn find<'a, T: StdError + 'static>(cause: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let inside_io = || find(cause.downcast_ref::<io::Error>()?.get_ref()?);
    cause.downcast_ref().or_else(inside_io)
}

/// Makes doors; those that would be alike are one, with one pool of connections.
pub(crate) struct Doors<'a> {
    config: &'a RegistriesConfig,
    proxies: &'a Proxies,
    trust: Trust,
    made: HashMap<(Vec<PathBuf>, Reach), Arc<Door>>,
}

impl<'a> Doors<'a> {
    pub(crate) fn new(config: &'a RegistriesConfig, proxies: &'a Proxies) -> Self {
        Self { config, proxies, trust: Trust::from_system(), made: HashMap::new() }
    }

    /// The door that trusts `ca` beside the system's authorities, and reaches as far as `reach`.
    pub(crate) fn get(&mut self, ca: &[PathBuf], reach: Reach) -> Result<Arc<Door>, ConfigError> {
        let key = (ca.to_vec(), reach);
        if let Some(door) = self.made.get(&key) {
            return Ok(Arc::clone(door));
        }
        let door = Arc::new(Door {
            client: self.client(ca, reach)?,
            reach,
            connect_timeout: self.config.connect_timeout,
            read_timeout: self.config.read_timeout,
        });
        self.made.insert(key, Arc::clone(&door));
        Ok(door)
    }

    fn client(&self, ca: &[PathBuf], reach: Reach) -> Result<reqwest::Client, ConfigError> {
        let resolver = Resolver { reach, proxies: self.proxies.hosts() };
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(self.trust.client(ca)?)
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .connect_timeout(self.config.connect_timeout)
            .tcp_keepalive(Duration::from_secs(30))
            // HTTP/2's own 64 KiB would hold one stream to a few MB/s over a wide network.
            .http2_initial_stream_window_size(2 << 20)
            .http2_initial_connection_window_size(8 << 20)
            .no_proxy();
        for proxy in self.proxies.for_client() {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|e| ConfigError::Client { what: e.to_string() })
    }
}
