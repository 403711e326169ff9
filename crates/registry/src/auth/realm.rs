//! Which hosts may issue a registry's tokens. Our credentials are sent there, so a registry may
//! not name just anybody.

use url::{Host, Url};

use crate::url_prefix::is_plain;

/// Domains under which anybody can have a host: being neighbours there means nothing.
const SHARED_DOMAINS: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azurecr.io",
    "azurewebsites.net",
    "cloudfront.net",
    "fly.dev",
    "github.io",
    "githubusercontent.com",
    "googleapis.com",
    "herokuapp.com",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "pkg.dev",
    "run.app",
    "vercel.app",
    "windows.net",
    "workers.dev",
];

/// Where a registry's tokens may come from.
pub(crate) struct RealmRule<'a> {
    pub(crate) endpoint: &'a Url,
    /// Whether plain HTTP is fine.
    pub(crate) http: bool,
    /// Hosts (or `host:port`) that were configured.
    pub(crate) configured: &'a [String],
}

impl RealmRule<'_> {
    /// Whether `realm` may issue tokens: it is the registry's own host, a close relative of it, or
    /// was configured; and it speaks HTTPS, unless the registry does not either.
    pub(crate) fn admits(&self, realm: &Url) -> bool {
        if !is_plain(realm) || (realm.scheme() == "http" && !self.http) {
            return false;
        }
        let Some(host) = realm.host_str() else {
            return false;
        };
        let with_port = realm.port().map(|port| format!("{host}:{port}"));
        let configured = self.configured.iter().any(|known| {
            known.eq_ignore_ascii_case(host) || Some(known.to_ascii_lowercase()) == with_port
        });
        configured || are_close(self.endpoint, realm)
    }
}

/// Whether two hosts are the same, or parent and child, or have the same parent domain, and that
/// domain is somebody's own.
///
/// There is no list of public suffixes here. Instead a domain counts as somebody's own if it has at
/// least two labels, the second-level one longer than three letters (`co.uk`, `com.au` are not) or
/// with a third before it; and if it is not under one of the domains above.
fn are_close(registry: &Url, realm: &Url) -> bool {
    if registry.host() == realm.host() {
        return true;
    }
    let (Some(Host::Domain(a)), Some(Host::Domain(b))) = (registry.host(), realm.host()) else {
        return false;
    };
    let (parent_a, parent_b) = (parent(a), parent(b));
    let shared = if parent_a == Some(b) || (parent_a.is_some() && parent_a == parent_b) {
        parent_a
    } else if parent_b == Some(a) {
        parent_b
    } else {
        None
    };
    shared.is_some_and(is_own_domain)
}

fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

fn is_own_domain(domain: &str) -> bool {
    let labels: Vec<_> = domain.split('.').collect();
    let long_enough = match labels.as_slice() {
        [] | [_] => false,
        [second, _] => second.len() > 3,
        _ => true,
    };
    let is_shared = SHARED_DOMAINS.iter().any(|shared| {
        let before = domain.strip_suffix(shared);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    long_enough && !is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(registry: &str, realm: &str, configured: &[&str]) -> bool {
        let endpoint = Url::parse(registry).unwrap();
        let configured: Vec<_> = configured.iter().map(|c| (*c).to_owned()).collect();
        let rule = RealmRule {
            http: endpoint.scheme() == "http",
            endpoint: &endpoint,
            configured: &configured,
        };
        rule.admits(&Url::parse(realm).unwrap())
    }

    #[test]
    fn relatives() {
        for (registry, realm) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("https://quay.io", "https://quay.io/v2/auth"),
            ("https://quay.io", "https://quay.io:8443/v2/auth"),
            ("https://example.com", "https://auth.example.com/"),
            ("https://r.corp.co.uk", "https://auth.corp.co.uk/"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/"),
            ("http://r.example.com", "https://auth.example.com/"),
        ] {
            assert!(admits(registry, realm, &[]), "{registry} {realm}");
        }
    }

    #[test]
    fn strangers() {
        for (registry, realm) in [
            ("https://registry-1.docker.io", "https://evil.example/token"),
            ("https://registry-1.docker.io", "https://docker.io.evil/token"),
            ("https://registry-1.docker.io", "https://evildocker.io/token"),
            ("https://registry-1.docker.io", "http://auth.docker.io/token"),
            ("https://registry-1.docker.io", "https://u:p@auth.docker.io/token"),
            ("https://good.co.uk", "https://evil.co.uk/"),
            ("https://good.io", "https://evil.io/"),
            ("https://good.io", "https://io/"),
            ("https://good.azurecr.io", "https://evil.azurecr.io/"),
            ("https://a.s3.amazonaws.com", "https://b.s3.amazonaws.com/"),
            ("http://127.0.0.1:5000", "http://127.0.0.2:5000/"),
            ("http://10.0.0.1", "http://1.10.0.0.1.example/"),
        ] {
            assert!(!admits(registry, realm, &[]), "{registry} {realm}");
        }
    }

    #[test]
    fn configured_realms() {
        let (registry, realm) = ("https://nvcr.io", "https://authn.nvidia.com/token");
        assert!(!admits(registry, realm, &[]));
        assert!(admits(registry, realm, &["AUTHN.nvidia.com"]));
        assert!(!admits(registry, "http://authn.nvidia.com/", &["authn.nvidia.com"]));
        assert!(admits("https://a", "https://b:81/", &["b:81"]));
        assert!(!admits("https://a", "https://b:82/", &["b:81"]));
    }
}
