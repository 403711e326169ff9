//! The proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`.
//!
//! They are read here rather than by the HTTP library for two reasons: loopback is never proxied,
//! and the proxies' own host names are exempt from the address policy (proxies mostly lie at
//! private addresses). A name that is fetched through a proxy is resolved by the proxy, so that
//! only addresses and names written in a URL can be checked here: where a proxy is used, it is
//! the proxy that has to keep requests off private networks.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::{NoProxy, Proxy};
use url::Url;

use crate::error::ConfigError;

/// What the environment says.
#[derive(Clone)]
pub(crate) struct Proxies {
    proxies: Vec<Proxy>,
    hosts: Arc<HashSet<String>>,
}

const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

impl Proxies {
    /// Reads the environment of this process.
    pub(crate) fn from_environment() -> Result<Self, ConfigError> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        // As curl and Go have it: either case, and an empty value is none.
        let either = |name: &str| {
            let lower = variable(&name.to_ascii_lowercase());
            variable(name).or(lower).filter(|value| !value.is_empty())
        };
        let all = either("ALL_PROXY");
        let bypass = either("NO_PROXY").unwrap_or_default();
        let bypass = NoProxy::from_string(&format!("{NEVER_PROXIED},{bypass}"));
        let (mut proxies, mut hosts) = (Vec::new(), HashSet::new());
        for name in ["HTTPS_PROXY", "HTTP_PROXY"] {
            let Some(value) = either(name).or_else(|| all.clone()) else {
                continue;
            };
            let url = parse(name, &value)?;
            hosts.extend(url.host_str().map(str::to_owned));
            let made = match name {
                "HTTPS_PROXY" => Proxy::https(url),
                _ => Proxy::http(url),
            };
            // The library's error would quote the URL, with a password perhaps.
            let proxy = made.map_err(|_| unusable(name))?;
            proxies.push(proxy.no_proxy(bypass.clone()));
        }
        Ok(Self { proxies, hosts: Arc::new(hosts) })
    }

    /// The proxies for an HTTP client.
    pub(crate) fn for_client(&self) -> impl Iterator<Item = Proxy> {
        self.proxies.iter().cloned()
    }

    /// The proxies' host names.
    pub(crate) fn hosts(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.hosts)
    }

    /// Whether `url` points at a proxy itself: nothing sends us there but mischief.
    pub(crate) fn is_proxy(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| self.hosts.contains(host))
    }
}

fn parse(name: &str, value: &str) -> Result<Url, ConfigError> {
    let with_scheme =
        if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&with_scheme).map_err(|_| unusable(name))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(unusable(name)),
    }
}

fn unusable(name: &str) -> ConfigError {
    ConfigError::Client { what: format!("{name} (or ALL_PROXY) is not the URL of an HTTP proxy") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Proxies, ConfigError> {
        Proxies::from(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_read_in_either_case() {
        let proxies = with(&[("https_proxy", "proxy.corp:3128"), ("HTTP_PROXY", "")]).unwrap();
        assert_eq!(proxies.for_client().count(), 1);
        assert!(proxies.is_proxy(&Url::parse("http://proxy.corp/").unwrap()));
        let both = with(&[("ALL_PROXY", "http://user:pass@all.corp")]).unwrap();
        assert_eq!(both.for_client().count(), 2);
        assert_eq!(with(&[]).unwrap().for_client().count(), 0);
    }

    #[test]
    fn a_bad_proxy_is_an_error_that_does_not_quote_it() {
        for bad in ["socks5://u:s3cret@host", "http://u:s3cret@"] {
            let error = with(&[("HTTPS_PROXY", bad)]).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }
}
