//! URL prefixes: compared part by part, so that `https://good.example` admits neither
//! `https://good.example.evil` nor `https://good.example@evil`.

use url::Url;

use crate::error::ConfigError;

/// A scheme, a host, a port, and the path components that a URL's path must begin with.
#[derive(Debug, Clone)]
pub(crate) struct UrlPrefix {
    url: Url,
}

impl UrlPrefix {
    /// Reads a prefix as configured.
    pub(crate) fn parse(prefix: &str) -> Result<Self, ConfigError> {
        let failed = |why| ConfigError::UrlPrefix { prefix: prefix.to_owned(), why };
        let url = Url::parse(prefix).map_err(|_| failed("not a URL"))?;
        if !is_plain(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(failed("it must be http or https, a host, and a path, nothing else"));
        }
        Ok(Self { url })
    }

    /// The prefix as a URL.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether `url` lies under it.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        is_plain(url)
            && same_origin(&self.url, url)
            && starts_with(&components(url), &components(&self.url))
            && !has_hidden_slash(url)
    }
}

/// Whether two URLs have the same scheme, host and port.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// HTTP or HTTPS, with a host, without a user or password.
pub(crate) fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

/// The path's components, without the empty one after a trailing slash. (Dots are already
/// resolved: that is part of parsing a URL.)
fn components(url: &Url) -> Vec<&str> {
    let mut parts: Vec<_> = url.path_segments().into_iter().flatten().collect();
    if parts.last() == Some(&"") {
        parts.pop();
    }
    parts
}

fn starts_with(parts: &[&str], prefix: &[&str]) -> bool {
    parts.len() >= prefix.len() && parts.iter().zip(prefix).all(|(a, b)| a == b)
}

/// Some servers decode `..%2f` before they resolve dots, which would leave the prefix.
fn has_hidden_slash(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    path.contains("%2f") || path.contains("%5c")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(prefix: &str, url: &str) -> bool {
        let prefix = UrlPrefix::parse(prefix).unwrap();
        Url::parse(url).is_ok_and(|url| prefix.admits(&url))
    }

    #[test]
    fn under_the_prefix() {
        for (prefix, url) in [
            ("https://good.example", "https://good.example/a?b=c"),
            ("https://good.example:443/", "https://GOOD.example/a"),
            ("https://good.example/a", "https://good.example/a"),
            ("https://good.example/a/", "https://good.example/a/b"),
            ("https://good.example/a", "https://good.example/x/../a/b"),
        ] {
            assert!(admits(prefix, url), "{prefix} {url}");
        }
    }

    #[test]
    fn not_under_the_prefix() {
        for (prefix, url) in [
            ("https://good.example", "https://good.example.evil/"),
            ("https://good.example", "https://good.example@evil/"),
            ("https://good.example", "https://user@good.example/"),
            ("https://good.example", "https://evil/good.example"),
            ("https://good.example", "http://good.example/"),
            ("https://good.example", "https://good.example:8443/"),
            ("https://good.example/a", "https://good.example/ab"),
            ("https://good.example/a", "https://good.example/a/../b"),
            ("https://good.example/a", "https://good.example/a/%2e%2e/b"),
            ("https://good.example/a", "https://good.example/a/..%2fb"),
            ("https://good.example/a", "https://good.example/"),
            ("https://good.example", "ftp://good.example/"),
        ] {
            assert!(!admits(prefix, url), "{prefix} {url}");
        }
    }

    #[test]
    fn a_prefix_that_says_too_much_is_refused() {
        for bad in
            ["good.example", "https://", "ftp://a", "https://u:p@a", "https://a?b", "https://a#b"]
        {
            assert!(UrlPrefix::parse(bad).is_err(), "{bad}");
        }
    }
}
