//! The configured upstreams: what a registry's name stands for, and which door leads there.

use std::sync::Arc;

use content::name::is_registry_host;
use url::Url;

use crate::address::{Reach, is_literally_loopback};
use crate::config::{CredentialsConfig, RegistriesConfig, RegistryConfig};
use crate::door::{Door, Doors};
use crate::error::{ConfigError, Error};
use crate::names::Repository;
use crate::proxy::Proxies;
use crate::redirect::Route;
use crate::url_prefix::{UrlPrefix, is_plain, same_origin};

/// Everything that may be contacted.
pub(crate) struct Sites {
    sites: Vec<Site>,
    prefixes: Vec<(UrlPrefix, Arc<Door>)>,
    /// Leads to public addresses only.
    public: Arc<Door>,
    proxies: Proxies,
}

/// One configured registry, or all under a domain.
pub(crate) struct Site {
    pub(crate) config: RegistryConfig,
    hosts: Hosts,
    /// Where its one registry is; those under a domain are where their names say.
    endpoint: Option<Url>,
    near: Arc<Door>,
    far: Arc<Door>,
}

enum Hosts {
    One(String),
    /// A domain with a dot in front.
    Under(String),
}

/// A registry as it is contacted.
pub(crate) struct Upstream<'a> {
    pub(crate) sites: &'a Sites,
    pub(crate) site: &'a Site,
    /// As written in references.
    pub(crate) registry: String,
    pub(crate) endpoint: Url,
}

impl Sites {
    pub(crate) fn new(config: &RegistriesConfig) -> Result<Self, ConfigError> {
        let proxies = Proxies::from_environment()?;
        let mut doors = Doors::new(config, &proxies);
        let mut sites: Vec<Site> = Vec::new();
        for registry in &config.registry {
            let site = Site::new(registry, &mut doors)?;
            if sites.iter().any(|known| known.hosts == site.hosts) {
                let host = registry.host.clone();
                return Err(ConfigError::Duplicate { host });
            }
            sites.push(site);
        }
        let mut prefixes = Vec::new();
        for prefix in &config.url_prefixes {
            let prefix = UrlPrefix::parse(prefix)?;
            let reach = reach_of_configured(prefix.url(), false);
            prefixes.push((prefix, doors.get(&[], reach)?));
        }
        let nothing_else = Reach { private: false, loopback: false };
        let public = doors.get(&[], nothing_else)?;
        Ok(Self { sites, prefixes, public, proxies })
    }

    /// The site of `registry`: the one that names it, else the one with the longest domain.
    fn site(&self, registry: &str) -> Option<&Site> {
        let registry = registry.to_ascii_lowercase();
        let rank = |site: &&Site| site.hosts.rank(&registry);
        self.sites.iter().filter(|s| rank(s) > 0).max_by_key(rank)
    }

    pub(crate) fn admits(&self, registry: &str) -> bool {
        is_registry_host(registry) && self.site(registry).is_some()
    }

    pub(crate) fn admits_url(&self, url: &Url) -> bool {
        self.prefixes.iter().any(|(prefix, _)| prefix.admits(url))
    }

    /// How `registry` is contacted.
    pub(crate) fn upstream(&self, registry: &str) -> Result<Upstream<'_>, Error> {
        let not_admitted = || Error::NotAdmitted { registry: registry.to_owned() };
        let site = self.site(registry).ok_or_else(not_admitted)?;
        let endpoint = match &site.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => default_endpoint(registry, site.config.http).ok_or_else(not_admitted)?,
        };
        Ok(Upstream { sites: self, site, registry: registry.to_owned(), endpoint })
    }

    /// The way to a URL that a prefix admits.
    pub(crate) fn url_route<'a>(&'a self, url: &'a Url) -> Result<Route<'a>, Error> {
        if !self.admits_url(url) {
            return Err(Error::UrlNotAdmitted {
                host: url.host_str().unwrap_or_default().to_owned(),
            });
        }
        Ok(Route {
            sites: self,
            home: url,
            near: self.known_door(url).unwrap_or(&self.public),
            far: &self.public,
            http: url.scheme() == "http",
        })
    }

    /// The door to `url`, if the configuration names where it leads.
    pub(crate) fn known_door(&self, url: &Url) -> Option<&Door> {
        let site = self.sites.iter().find(|site| site.is_at(url));
        if let Some(site) = site {
            return Some(&site.near);
        }
        let prefix = self.prefixes.iter().find(|(prefix, _)| prefix.admits(url));
        prefix.map(|(_, door)| &**door)
    }

    /// Whether `url` is a proxy of ours, and no upstream.
    pub(crate) fn is_foreign_proxy(&self, url: &Url) -> bool {
        self.proxies.is_proxy(url) && self.known_door(url).is_none()
    }
}

impl Site {
    fn new(config: &RegistryConfig, doors: &mut Doors<'_>) -> Result<Self, ConfigError> {
        let failed = |why| ConfigError::Registry { host: config.host.clone(), why };
        let hosts = Hosts::parse(&config.host)?;
        let endpoint = match (&config.endpoint, &hosts) {
            (Some(_), Hosts::Under(_)) => {
                return Err(failed("many registries cannot have one endpoint"));
            }
            (Some(endpoint), Hosts::One(_)) => Some(endpoint.clone()),
            (None, Hosts::Under(_)) => None,
            (None, Hosts::One(host)) => {
                let url = default_endpoint(host, config.http);
                Some(url.ok_or_else(|| failed("it makes no URL"))?)
            }
        };
        if let Some(endpoint) = &endpoint {
            check_endpoint(endpoint, config.http).map_err(failed)?;
        }
        check_credentials(config.credentials.as_ref()).map_err(failed)?;
        let near = match &endpoint {
            Some(endpoint) => reach_of_configured(endpoint, config.allow_loopback),
            None => Reach { private: true, loopback: config.allow_loopback },
        };
        let far = Reach { private: config.allow_private, loopback: config.allow_loopback };
        Ok(Self {
            config: config.clone(),
            hosts,
            endpoint,
            near: doors.get(&config.ca, near)?,
            far: doors.get(&config.ca, far)?,
        })
    }

    /// Whether `url` is on (one of) its registries.
    fn is_at(&self, url: &Url) -> bool {
        match (&self.endpoint, &self.hosts) {
            (Some(endpoint), _) => same_origin(endpoint, url),
            (None, hosts) => {
                let scheme = if self.config.http { "http" } else { "https" };
                url.scheme() == scheme
                    && url.port().is_none()
                    && url.host_str().is_some_and(|host| hosts.rank(host) > 0)
            }
        }
    }
}

impl PartialEq for Hosts {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(a), Self::One(b)) | (Self::Under(a), Self::Under(b)) => a == b,
            _ => false,
        }
    }
}

impl Hosts {
    fn parse(host: &str) -> Result<Self, ConfigError> {
        let lower = host.to_ascii_lowercase();
        let parsed = match lower.strip_prefix("*.") {
            Some(domain) if !domain.contains(':') => {
                is_registry_host(domain).then(|| Self::Under(format!(".{domain}")))
            }
            Some(_) => None,
            None => is_registry_host(&lower).then_some(Self::One(lower)),
        };
        parsed.ok_or_else(|| ConfigError::Host { host: host.to_owned() })
    }

    /// How closely a registry in lower case is meant: not at all (0), or the closer the higher.
    fn rank(&self, registry: &str) -> usize {
        match self {
            Self::One(host) if host == registry => usize::MAX,
            Self::Under(domain) if registry.ends_with(domain.as_str()) => domain.len(),
            _ => 0,
        }
    }
}

impl Upstream<'_> {
    pub(crate) fn route(&self) -> Route<'_> {
        Route {
            sites: self.sites,
            home: &self.endpoint,
            near: &self.site.near,
            far: &self.site.far,
            http: self.site.config.http,
        }
    }

    /// The URL of something in a repository: `/v2/<name>/<kind>/<what>`.
    pub(crate) fn url(&self, repository: &Repository, kind: &str, what: &str) -> Url {
        let mut url = self.endpoint.clone();
        // An endpoint is HTTP(S), which always has a path that can be extended.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v2");
            path.extend(repository.name().split('/'));
            path.push(kind).push(what);
        }
        url
    }
}

/// What was configured may lie at a private address; on loopback only if it says so itself.
fn reach_of_configured(url: &Url, allow_loopback: bool) -> Reach {
    Reach { private: true, loopback: allow_loopback || is_literally_loopback(url) }
}

fn default_endpoint(registry: &str, http: bool) -> Option<Url> {
    let host = match registry {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let scheme = if http { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{host}")).ok()
}

fn check_endpoint(endpoint: &Url, http: bool) -> Result<(), &'static str> {
    if !is_plain(endpoint) || endpoint.query().is_some() || endpoint.fragment().is_some() {
        return Err("the endpoint must be http or https, a host, and perhaps a path, nothing else");
    }
    match (endpoint.scheme(), http) {
        ("http", false) => Err("the endpoint is plain HTTP, but `http` is not set"),
        ("https", true) => Err("the endpoint is HTTPS, but `http` is set"),
        _ => Ok(()),
    }
}

fn check_credentials(credentials: Option<&CredentialsConfig>) -> Result<(), &'static str> {
    let Some(given) = credentials else {
        return Ok(());
    };
    let password = (given.username.is_some(), given.password_file.is_some());
    match (password, given.docker_config.is_some()) {
        ((true, true), false) | ((false, false), true) => Ok(()),
        _ => Err("credentials are either `username` and `password_file`, or `docker_config`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(hosts: &[&str]) -> Result<Sites, ConfigError> {
        let registry = hosts.iter().map(|h| RegistryConfig::new(*h)).collect();
        Sites::new(&RegistriesConfig { registry, ..RegistriesConfig::default() })
    }

    #[test]
    fn only_what_is_listed_is_admitted() {
        let sites = sites(&["docker.io", "*.corp.example", "a.corp.example"]).unwrap();
        for admitted in ["docker.io", "DOCKER.io", "x.corp.example", "x.y.corp.example"] {
            assert!(sites.admits(admitted), "{admitted}");
        }
        for refused in [
            "corp.example",
            "evilcorp.example",
            "docker.io:443",
            "docker.io.evil",
            "x.corp.example:80",
            "a/b.corp.example",
        ] {
            assert!(!sites.admits(refused), "{refused}");
        }
        let closest = sites.site("a.corp.example").unwrap();
        assert_eq!(closest.config.host, "a.corp.example");
    }

    #[test]
    fn docker_io_is_elsewhere() {
        let sites = sites(&["docker.io", "*.example"]).unwrap();
        let at = |registry| sites.upstream(registry).unwrap().endpoint.to_string();
        assert_eq!(at("docker.io"), "https://registry-1.docker.io/");
        assert_eq!(at("r.example"), "https://r.example/");
    }

    #[test]
    fn an_endpoint_may_have_a_path() {
        let mut registry = RegistryConfig::new("docker.io");
        registry.endpoint = Url::parse("https://a.example/mirror/").ok();
        let config = RegistriesConfig { registry: vec![registry], ..RegistriesConfig::default() };
        let sites = Sites::new(&config).unwrap();
        let repository = Repository::new("docker.io", "library/nginx").unwrap();
        let upstream = sites.upstream("docker.io").unwrap();
        let url = upstream.url(&repository, "manifests", "latest");
        assert_eq!(url.as_str(), "https://a.example/mirror/v2/library/nginx/manifests/latest");
    }

    #[test]
    fn contradictions_are_refused() {
        let with = |change: fn(&mut RegistryConfig)| {
            let mut registry = RegistryConfig::new("a.example");
            change(&mut registry);
            let config =
                RegistriesConfig { registry: vec![registry], ..RegistriesConfig::default() };
            Sites::new(&config).err()
        };
        assert_eq!(with(|_| {}), None);
        for change in [
            (|r| r.host = "*.".into()) as fn(&mut RegistryConfig),
            |r| r.host = "*".into(),
            |r| r.host = "a/b".into(),
            |r| r.endpoint = Url::parse("http://a.example").ok(),
            |r| r.endpoint = Url::parse("https://u:p@a.example").ok(),
            |r| r.endpoint = Url::parse("https://a.example/?q").ok(),
            |r| {
                r.http = true;
                r.endpoint = Url::parse("https://a.example").ok();
            },
            |r| r.credentials = Some(CredentialsConfig::default()),
            |r| r.ca = vec!["/nonexistent.pem".into()],
        ] {
            assert!(with(change).is_some());
        }
        assert!(matches!(sites(&["a", "A"]), Err(ConfigError::Duplicate { .. })));
    }
}
