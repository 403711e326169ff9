//! Which registries and URLs may be contacted, and how each is reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

/// Every upstream that mirror and supernode may contact. What is not listed is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistriesConfig {
    /// The registries. A list given here replaces the built-in one (docker.io, ghcr.io, quay.io,
    /// registry.k8s.io, gcr.io, public.ecr.aws, mcr.microsoft.com).
    pub registry: Vec<RegistryConfig>,
    /// Where a request goes that names no registry (no `?ns=`).
    pub default: Option<String>,
    /// URLs that may be fetched through the swarm, by prefix: scheme, host and port must be equal,
    /// the path is compared component by component. A redirect from there may lead to public
    /// addresses, and to where another prefix or registry allows.
    pub url_prefixes: Vec<String>,
    /// How long a connection may take to be made: name, TCP and TLS together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long an upstream may send nothing before the connection is given up.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How often an upstream is asked again without any progress.
    pub retries: u32,
    /// The pause before the first new attempt; it doubles from then on, up to 10 s.
    #[serde(with = "humantime_serde")]
    pub retry_pause: Duration,
    /// The longest `Retry-After` that is waited for in mid-transfer. One that asks for more ends
    /// the transfer. Where a client waits for headers, no more than 10 s are waited.
    #[serde(with = "humantime_serde")]
    pub retry_after_limit: Duration,
}

impl Default for RegistriesConfig {
    fn default() -> Self {
        let well_known = [
            "docker.io",
            "ghcr.io",
            "quay.io",
            "registry.k8s.io",
            "gcr.io",
            "public.ecr.aws",
            "mcr.microsoft.com",
        ];
        Self {
            registry: well_known.map(RegistryConfig::new).to_vec(),
            default: None,
            url_prefixes: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            retries: 5,
            retry_pause: Duration::from_millis(250),
            retry_after_limit: Duration::from_secs(60),
        }
    }
}

/// One registry, or every registry under a domain.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent permission that an operator gives by name"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// The host as written in references: `docker.io`, `127.0.0.1:5000`, or `*.example.com` for
    /// every host under a domain.
    pub host: String,
    /// Where it is. Default: `https://<host>`; for docker.io `https://registry-1.docker.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// Speak plain HTTP. Then its redirects and token realm may be plain HTTP too.
    #[serde(default)]
    pub http: bool,
    /// Certificate authorities, PEM files, trusted for this registry beside the system's.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
    /// Its redirects and token realm may lie at private addresses (RFC 1918, ULA, carrier NAT).
    /// The endpoint itself always may: it was configured.
    #[serde(default)]
    pub allow_private: bool,
    /// Its endpoint, redirects and token realm may lie on loopback. Not needed for an endpoint
    /// that is literally a loopback address.
    #[serde(default)]
    pub allow_loopback: bool,
    /// Further hosts that may issue its tokens, beside the registry's own host and its close
    /// relatives (`auth.example.com` and `example.com` for `registry.example.com`).
    #[serde(default)]
    pub token_realms: Vec<String>,
    /// Our own credentials for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsConfig>,
    /// Our own credentials also serve a local client that sends none. Whoever reaches the mirror
    /// can then pull what these credentials can.
    #[serde(default)]
    pub serve_local_clients: bool,
}

impl RegistryConfig {
    /// The registry `host` as it is reached when nothing else is said.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            endpoint: None,
            http: false,
            ca: Vec::new(),
            allow_private: false,
            allow_loopback: false,
            token_realms: Vec::new(),
            credentials: None,
            serve_local_clients: false,
        }
    }
}

/// Where our own credentials for a registry are found. They are read when they are needed, so that
/// a rotated secret is taken up without a restart.
///
/// Either `username` and `password_file`, or `docker_config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialsConfig {
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password; one trailing line end is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A docker configuration file: `auths` (also identity and registry tokens), `credHelpers`,
    /// `credsStore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_documented() {
        let json = serde_json::json!({
            "registry": [{"host": "a.example", "http": true, "credentials": {"docker_config": "/c"}}],
            "default": "a.example",
            "read_timeout": "7s",
        });
        let config: RegistriesConfig = serde_json::from_value(json).unwrap();
        assert_eq!(config.registry.len(), 1, "a given list replaces the default");
        assert!(config.registry[0].http);
        assert_eq!(config.read_timeout, Duration::from_secs(7));
        assert_eq!(config.connect_timeout, Duration::from_secs(10));
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        for wrong in [
            r#"{"registries": []}"#,
            r#"{"registry": [{"host": "a", "insecure": true}]}"#,
            r#"{"registry": [{"host": "a", "credentials": {"password": "x"}}]}"#,
        ] {
            assert!(serde_json::from_str::<RegistriesConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        let config = RegistriesConfig::default();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RegistriesConfig>(&text).unwrap(), config);
    }
}
